/** Figures read off runs: agreement, saving with a measured vanilla, live prediction, differences. */
import { computeCost } from '../src/avis/compute';
import { againstVanilla } from '../src/avis/measuredVanilla';
import { chooseRollouts, defaultBins } from '../src/avis/policy';
import type {
  AskSettings,
  ComputeResult,
  DifficultyResult,
  ModelInfo,
  PolicyBin,
  PruneSetting,
  RolloutResult,
  RunResult,
  VisualResult,
  VoteResult,
} from '../src/shared/types';

/** Votes for the majority answer, and the rollouts that were decoded to their end. */
export function agreementOf(vote: VoteResult, rollouts: readonly RolloutResult[]) {
  const agreeing = vote.counts[0]?.rollouts.length ?? 0;
  const finished = rollouts.filter((rollout) => rollout.stopped !== 'earlyStop').length;
  return { agreeing, finished, share: finished === 0 ? 0 : agreeing / finished };
}

/** K that levers lead to; `atMost` where it depends on the votes still. */
export interface PredictedRollouts {
  k: number;
  atMost: boolean;
}

export interface Prediction {
  kept: number;
  rollouts: PredictedRollouts;
  /** Null while the model, and with it its cost, isn't known. */
  compute: ComputeResult | null;
}

/** What decides a prediction of a loaded model. */
export type PredictingModel = Pick<ModelInfo, 'cost' | 'policy'>;

export function binsOf(model: PredictingModel | null): PolicyBin[] {
  return model?.policy?.bins ?? defaultBins;
}

/** K of these levers for a query of known difficulty; null while nothing is known. */
export function predictRollouts(
  difficulty: DifficultyResult | null,
  rollouts: AskSettings['rollouts'],
  bins: PolicyBin[],
): PredictedRollouts | null {
  if (rollouts.mode === 'fixed') return { k: rollouts.k, atMost: false };
  if (!difficulty) return null;
  const { solvability, k } = difficulty;
  if (solvability === null) return { k: Math.min(k, rollouts.cap), atMost: true };
  return { k: chooseRollouts(solvability, bins, rollouts.cap).k, atMost: false };
}

/**
 * What levers would make of a run, from its cached scores, its p̂ and its answer lengths: no inference.
 * @param shownCompute the run's compute, with vanilla as measured where it was
 * @param keep what `keepVisualTokens` gives for the levers
 */
export function predictRun(
  run: RunResult,
  shownCompute: ComputeResult,
  settings: AskSettings,
  keep: readonly number[],
  model: PredictingModel | null,
): Prediction | null {
  const rollouts = predictRollouts(run.difficulty, settings.rollouts, binsOf(model));
  if (!rollouts) return null;
  const kept = keep.length;
  if (!model || run.rollouts.length === 0) return { kept, rollouts, compute: null };
  const tokens = run.rollouts.map((rollout) => rollout.tokens);
  const mean = Math.round(tokens.reduce((sum, count) => sum + count, 0) / tokens.length);
  const predicted = computeCost({
    cost: model.cost,
    visionFlops: run.compute.run.vision,
    textTokens: run.compute.promptTokens.text,
    visualTokens: run.visual.total,
    keptTokens: kept,
    rolloutTokens: Array.from({ length: rollouts.k }, (_, index) => tokens[index] ?? mean),
    vanillaAnswerTokens: { tokens: mean, source: 'estimated' },
  });
  return { kept, rollouts, compute: againstVanilla(predicted, shownCompute) };
}

/** What became of a visual token: of two runs, or (as 'both' and 'neither') of one. */
export type TokenFate = 'both' | 'onlyFirst' | 'onlySecond' | 'neither';

/** For each visual token, which of two runs kept it; null when their token grids differ. */
export function compareKept(first: VisualResult, second: VisualResult): TokenFate[] | null {
  if (first.total !== second.total) return null;
  const inFirst = new Set(first.keep);
  const inSecond = new Set(second.keep);
  return Array.from({ length: first.total }, (_, token) => {
    if (inFirst.has(token)) return inSecond.has(token) ? 'both' : 'onlyFirst';
    return inSecond.has(token) ? 'onlySecond' : 'neither';
  });
}

/** Rank of each token by score, 1 = highest; of equal scores the lower index first. */
export function rankScores(scores: readonly number[]): number[] {
  const order = scores.map((_, index) => index).sort((a, b) => scores[b]! - scores[a]! || a - b);
  const ranks = Array.from({ length: scores.length }, () => 0);
  for (const [rank, token] of order.entries()) ranks[token] = rank + 1;
  return ranks;
}

/** The score at or above which tokens are kept: −cos τ, or the lowest kept score under a fixed ρ. */
export function keepThreshold(
  scores: readonly number[],
  prune: PruneSetting,
  keep: readonly number[],
): number {
  if (prune.mode === 'adaptive') return -Math.cos((prune.tauDegrees * Math.PI) / 180);
  let lowest = Infinity;
  for (const token of keep) lowest = Math.min(lowest, scores[token] ?? Infinity);
  return lowest;
}

/** The text of a rollout without its answer: what it reasoned. Tags are taken off, all else stays. */
export function reasoningOf(text: string): string {
  return text
    .replace(/<answer>[\s\S]*?(<\/answer>|$)/gu, '')
    .replaceAll(/<\/?think>/gu, '')
    .trim();
}

/** Kept tokens as 'both', pruned ones as 'neither'. */
export function fatesOfKeep(total: number, keep: readonly number[]): TokenFate[] {
  const fates = Array.from({ length: total }, (): TokenFate => 'neither');
  for (const token of keep) fates[token] = 'both';
  return fates;
}
