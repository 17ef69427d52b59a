/**
 * A least-recently-used cache bounded in bytes. What doesn't fit beside a new entry is dropped, oldest
 * use first; an entry larger than the bound is kept alone, so that the running query still has it.
 */
export class ByteCache<Value> {
  private readonly entries = new Map<string, { value: Value; bytes: number }>();
  private total = 0;

  /** @param onDrop frees what an entry holds outside JavaScript's heap. */
  constructor(
    readonly maxBytes: number,
    private readonly onDrop: (value: Value) => void = () => {},
  ) {}

  get bytes(): number {
    return this.total;
  }

  get(key: string): Value | undefined {
    const entry = this.entries.get(key);
    if (!entry) return undefined;
    this.entries.delete(key);
    this.entries.set(key, entry);
    return entry.value;
  }

  set(key: string, value: Value, bytes: number): void {
    this.drop(key);
    this.entries.set(key, { value, bytes });
    this.total += bytes;
    for (const oldest of this.entries.keys()) {
      if (this.total <= this.maxBytes || oldest === key) break;
      this.drop(oldest);
    }
  }

  clear(): void {
    for (const key of this.entries.keys()) this.drop(key);
  }

  private drop(key: string): void {
    const entry = this.entries.get(key);
    if (!entry) return;
    this.entries.delete(key);
    this.total -= entry.bytes;
    this.onDrop(entry.value);
  }
}
