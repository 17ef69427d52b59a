import { median } from '../eval/statistics';

/** Milliseconds of one call. */
export async function timeMs(run: () => unknown): Promise<number> {
  const started = performance.now();
  await run();
  return performance.now() - started;
}

/**
 * Asks every contestant for its milliseconds in turn, `repetitions` times over, so that a busy machine
 * slows all of them alike. A first round warms up and is not counted. Rounds are told on standard error.
 * @returns each contestant's median
 */
export async function interleave<Name extends string>(
  contestants: Record<Name, () => Promise<number>>,
  repetitions: number,
): Promise<Record<Name, number>> {
  const times = new Map<Name, number[]>();
  const names = Object.keys(contestants) as Name[];
  for (let repetition = -1; repetition < repetitions; repetition++) {
    process.stderr.write(`${names[0]} …: round ${repetition + 1} of ${repetitions}\n`);
    for (const name of names) {
      const elapsedMs = await contestants[name]();
      if (repetition >= 0) times.set(name, [...(times.get(name) ?? []), elapsedMs]);
    }
  }
  const medians = names.map((name) => [name, median(times.get(name) ?? [])]);
  return Object.fromEntries(medians) as Record<Name, number>;
}

/**
 * Processor milliseconds of one call of a fast, single-threaded function, which unlike wall time don't
 * grow with what else the machine does: the mean over at least 0.3 s, after a warm-up.
 */
export function processorMsOf(run: () => unknown): number {
  const meanOver = (budgetMs: number) => {
    const before = process.cpuUsage();
    for (let calls = 1; ; calls++) {
      run();
      const { user, system } = process.cpuUsage(before);
      const spentMs = (user + system) / 1000;
      if (spentMs >= budgetMs) return spentMs / calls;
    }
  };
  meanOver(200);
  return meanOver(300);
}

/** Slope of log(y) over log(x): 1 where y grows linearly with x. */
export function growthExponent(points: readonly { x: number; y: number }[]): number {
  const logs = points.map(({ x, y }) => ({ x: Math.log(x), y: Math.log(y) }));
  const meanX = mean(logs.map(({ x }) => x));
  const meanY = mean(logs.map(({ y }) => y));
  const covariance = mean(logs.map(({ x, y }) => (x - meanX) * (y - meanY)));
  return covariance / mean(logs.map(({ x }) => (x - meanX) ** 2));
}

function mean(values: number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
