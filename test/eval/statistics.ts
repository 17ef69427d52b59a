import { randomSource } from '../unit/avis/random';

/** An estimate and its 95 % confidence interval. */
export interface Interval {
  value: number;
  low: number;
  high: number;
}

const z = 1.959963984540054;

/** Wilson's score interval of a proportion. */
export function wilson(successes: number, trials: number): Interval {
  if (trials === 0) return { value: Number.NaN, low: 0, high: 1 };
  const share = successes / trials;
  const center = (share + (z * z) / (2 * trials)) / (1 + (z * z) / trials);
  const half =
    (z * Math.sqrt((share * (1 - share)) / trials + (z * z) / (4 * trials * trials))) /
    (1 + (z * z) / trials);
  return { value: share, low: Math.max(0, center - half), high: Math.min(1, center + half) };
}

/**
 * The mean and its percentile bootstrap interval (2,000 resamples, fixed seed). Differences between
 * settings are paired: give the differences item by item.
 */
export function bootstrapMean(values: readonly number[]): Interval {
  const count = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  if (count === 0) return { value: Number.NaN, low: Number.NaN, high: Number.NaN };
  const random = randomSource(2024);
  const resamples = 2000;
  const means = Float64Array.from({ length: resamples }, () => {
    let sum = 0;
    for (let i = 0; i < count; i++) sum += values[Math.floor(random() * count)]!;
    return sum / count;
  }).sort();
  return {
    value: mean,
    low: means[Math.floor(resamples * 0.025)]!,
    high: means[Math.ceil(resamples * 0.975) - 1]!,
  };
}

/**
 * Area under the ROC curve: the chance that a positive scores above a negative, a tie counting half.
 * @returns null where one of the classes is empty.
 */
export function auroc(scores: readonly number[], positive: readonly boolean[]): number | null {
  const ranked = scores
    .map((score, i) => ({ score, positive: positive[i]! }))
    .sort((a, b) => a.score - b.score);
  const positives = positive.filter(Boolean).length;
  const negatives = positive.length - positives;
  if (positives === 0 || negatives === 0) return null;
  let above = 0;
  let negativesBelow = 0;
  for (let start = 0; start < ranked.length;) {
    let end = start;
    while (end < ranked.length && ranked[end]!.score === ranked[start]!.score) end++;
    const tied = ranked.slice(start, end);
    const tiedPositives = tied.filter((entry) => entry.positive).length;
    const tiedNegatives = tied.length - tiedPositives;
    above += tiedPositives * (negativesBelow + tiedNegatives / 2);
    negativesBelow += tiedNegatives;
    start = end;
  }
  return above / (positives * negatives);
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  if (sorted.length === 0) return Number.NaN;
  return sorted.length % 2 === 1
    ? sorted[Math.floor(middle)]!
    : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
