/** Bytes per second over the last few seconds. */
export class TransferSpeed {
  private samples: { timeMs: number; bytes: number }[] = [];

  constructor(
    private readonly now: () => number = () => performance.now(),
    private readonly windowMs = 5000,
  ) {}

  /** @param bytes done so far, in all */
  add(bytes: number): void {
    const timeMs = this.now();
    this.samples.push({ timeMs, bytes });
    while (this.samples.length > 2 && this.samples[0]!.timeMs < timeMs - this.windowMs) {
      this.samples.shift();
    }
  }

  get bytesPerSecond(): number {
    const first = this.samples[0];
    const last = this.samples.at(-1);
    if (!first || !last || last.timeMs === first.timeMs) return 0;
    return (1000 * (last.bytes - first.bytes)) / (last.timeMs - first.timeMs);
  }
}
