import { isAnswerSettled } from '../avis/betaStopping';
import { chooseRollouts, defaultBins } from '../avis/policy';
import { tallyVotes } from '../avis/vote';
import type { AskSettings, DifficultyResult, PolicyBin } from '../shared/types';

/**
 * How many rollouts to run: as many as asked for, as the policy has for p̂, or, without a predictor,
 * waves of them until the Beta rule holds (`k` is then the first wave).
 * @param solvability p̂; null where the checkpoint has no predictor
 */
export function chooseDifficulty(
  { rollouts, confidence }: Pick<AskSettings, 'rollouts' | 'confidence'>,
  solvability: number | null,
  bins: PolicyBin[] = defaultBins,
): DifficultyResult {
  if (rollouts.mode === 'fixed') {
    const { k } = rollouts;
    return { source: 'fixed', solvability, wanted: k, k, cap: null };
  }
  const { cap } = rollouts;
  if (solvability === null) {
    return {
      source: 'betaStopping',
      solvability,
      wanted: cap,
      k: nextWave([], cap, confidence),
      cap,
    };
  }
  return { source: 'predictor', solvability, ...chooseRollouts(solvability, bins, cap), cap };
}

/** How many may run in all. Where it is one, that one is decoded greedily. */
export function mostRollouts({ source, wanted, k }: DifficultyResult): number {
  return source === 'betaStopping' ? wanted : k;
}

/**
 * The fewest further rollouts after which the Beta rule could hold: decoded as one batch, they still
 * share the prefill, and none is started that the rule could do without.
 * @param answers of the rollouts so far; null = abstained
 * @param most rollouts in all
 * @param confidence in [½, 1)
 * @returns 0 when the rule holds or `most` are done
 */
export function nextWave(
  answers: readonly (string | null)[],
  most: number,
  confidence: number,
): number {
  const { counts } = tallyVotes([...answers]);
  const [leader = 0, ...others] = counts.map(({ rollouts }) => rollouts.length);
  const room = most - answers.length;
  // With no vote at all P(share > ½) is ½, which a confidence of ½ would call settled.
  for (let wave = leader === 0 ? 1 : 0; wave < room; wave++) {
    if (isAnswerSettled([leader + wave, ...others], confidence)) return wave;
  }
  return room;
}
