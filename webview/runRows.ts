/** What the table of runs and the comparison of two say, as text. */
import { formatCount, formatMs, formatScore } from './format';
import { agreementOf } from './runFigures';
import type { RunRecord } from '../src/shared/panelProtocol';
import type { ComputeResult } from '../src/shared/types';

/** One row of the table: everything in it, as text. */
export interface RunRow {
  ratio: string;
  kept: string;
  k: string;
  answer: string;
  agreement: string;
  cost: string;
  time: string;
}

/** @param compute the run's own, with vanilla as measured where it was */
export function describeRun({ result }: RunRecord, compute: ComputeResult): RunRow {
  const { visual, difficulty, vote, rollouts, timing } = result;
  const { agreeing, finished } = agreementOf(vote, rollouts);
  return {
    ratio: formatScore(visual.pruneRatio),
    kept: formatCount(visual.kept),
    k: String(difficulty.k),
    answer: vote.answer ?? 'none',
    agreement: `${agreeing}/${finished}`,
    cost: formatScore(1 - compute.saved),
    time: formatMs(timing.total - timing.load),
  };
}

/** Name and value of everything that two runs are compared in. */
export function comparisonRows(run: RunRecord, compute: ComputeResult): [string, string][] {
  const { settings, question } = run.result;
  const { prune, rollouts } = settings;
  const texts = describeRun(run, compute);
  return [
    ['question', question],
    ['answer', texts.answer],
    ['agreement', texts.agreement],
    ['pruning', prune.mode === 'adaptive' ? `τ ${prune.tauDegrees}°` : `ρ ${prune.ratio}`],
    ['tokens kept', texts.kept],
    ['rollouts', `K ${texts.k}${rollouts.mode === 'fixed' ? ' fixed' : `, cap ${rollouts.cap}`}`],
    ['sampling', `T ${settings.temperature} · p ${settings.topP} · seed ${settings.seed}`],
    ['thinking', settings.thinking ? 'on' : 'off'],
    ['cost', texts.cost],
    ['time', texts.time],
  ];
}
