import type { PolicyBin } from '../shared/types';

/**
 * The rule for a checkpoint that has a difficulty predictor but no calibrated bins: an inverted U, as
 * the paper describes (§4.2: easy → 1, hopeless → 1, hard but solvable → most). The paper's own edges
 * are not published.
 */
export const defaultBins: PolicyBin[] = [
  { upTo: 0.1, k: 1 },
  { upTo: 0.5, k: 7 },
  { upTo: 0.75, k: 5 },
  { upTo: 0.9, k: 3 },
  { upTo: 1, k: 1 },
];

/**
 * K for a predicted solvability: the first bin with p̂ ≤ upTo, then the cap.
 * @param solvability p̂ ∈ [0, 1]
 * @param bins ascending by `upTo`, the last `upTo` being 1
 * @returns `wanted`, K by the bins, and `k`, the same under the cap.
 */
export function chooseRollouts(
  solvability: number,
  bins: PolicyBin[],
  cap: number,
): { wanted: number; k: number } {
  const bin = bins.find(({ upTo }) => solvability <= upTo) ?? bins.at(-1);
  const wanted = bin?.k ?? 1;
  return { wanted, k: Math.min(wanted, cap) };
}
