/**
 * Viridis (Stéfan van der Walt, Nathaniel Smith, Eric Firing; CC0), by its published ten-step palette:
 * perceptually uniform, monotone in lightness, and so readable with any colour vision and in grey.
 */
const controlPoints: readonly [number, number, number][] = [
  [0x44, 0x01, 0x54],
  [0x48, 0x28, 0x78],
  [0x3e, 0x4a, 0x89],
  [0x31, 0x68, 0x8e],
  [0x26, 0x82, 0x8e],
  [0x1f, 0x9e, 0x89],
  [0x35, 0xb7, 0x79],
  [0x6d, 0xcd, 0x59],
  [0xb4, 0xde, 0x2c],
  [0xfd, 0xe7, 0x25],
];

export type Rgb = readonly [red: number, green: number, blue: number];

/** The colour at `position` ∈ [0, 1] (clamped); components 0…255. */
export function viridis(position: number): Rgb {
  const last = controlPoints.length - 1;
  const scaled = Math.min(Math.max(position, 0), 1) * last;
  const index = Math.min(Math.floor(scaled), last - 1);
  const share = scaled - index;
  const from = controlPoints[index]!;
  const to = controlPoints[index + 1]!;
  const mix = (channel: 0 | 1 | 2) =>
    Math.round(from[channel] + (to[channel] - from[channel]) * share);
  return [mix(0), mix(1), mix(2)];
}

export function cssColor([red, green, blue]: Rgb): string {
  return `rgb(${red} ${green} ${blue})`;
}

/** The range of scores that the colours span. */
export interface ScoreScale {
  low: number;
  high: number;
}

/** From the lowest to the highest score; a picture of one single score gets a range of width 0. */
export function scoreScale(scores: ArrayLike<number>): ScoreScale {
  let low = Infinity;
  let high = -Infinity;
  for (let index = 0; index < scores.length; index += 1) {
    const score = scores[index]!;
    if (score < low) low = score;
    if (score > high) high = score;
  }
  return scores.length === 0 ? { low: 0, high: 0 } : { low, high };
}

/** Where a score lies on the scale, 0…1 (clamped); the middle on a scale of width 0. */
export function positionOnScale(scale: ScoreScale, score: number): number {
  const width = scale.high - scale.low;
  if (width <= 0) return 0.5;
  return Math.min(Math.max((score - scale.low) / width, 0), 1);
}

/** Counts of scores in `bins` equal steps of the scale. */
export function scoreHistogram(
  scores: ArrayLike<number>,
  scale: ScoreScale,
  bins: number,
): number[] {
  const counts = Array.from({ length: bins }, () => 0);
  for (let index = 0; index < scores.length; index += 1) {
    const bin = Math.min(Math.floor(positionOnScale(scale, scores[index]!) * bins), bins - 1);
    counts[bin]! += 1;
  }
  return counts;
}
