/** What rollouts, finished or not, come to in the vote. */
import type { LiveRollout } from './panelModel';
import { tallyVotes } from '../src/avis/vote';
import type { RolloutResult, RunResult, VoteResult } from '../src/shared/types';

export interface VoteBar {
  label: string;
  votes: number;
  kind: 'majority' | 'other' | 'none';
}

/** A finished run's rollouts, as those of a run in progress are held. */
export function rolloutRows(result: RunResult | null): LiveRollout[] {
  return (result?.rollouts ?? []).map((rollout) => {
    const { index, text, tokens } = rollout;
    return { index, text, tokens, result: rollout };
  });
}

export function endedOf(rollouts: readonly LiveRollout[]): RolloutResult[] {
  return rollouts.flatMap((rollout) => rollout.result ?? []);
}

/** The vote among the rollouts that have ended; null while none has. */
export function provisionalVote(rollouts: readonly LiveRollout[]): VoteResult | null {
  const answers: (string | null)[] = [];
  for (const { index, result } of rollouts) if (result) answers[index] = result.answer;
  if (answers.length === 0) return null;
  const vote = tallyVotes(Array.from(answers, (answer) => answer ?? null));
  const ended = new Set(rollouts.filter(({ result }) => result).map(({ index }) => index));
  return { ...vote, abstentions: vote.abstentions.filter((index) => ended.has(index)) };
}

/** A bar for each answer; rollouts that gave none apart from those stopped as no longer needed. */
export function voteBars(
  { counts, abstentions }: VoteResult,
  ended: readonly RolloutResult[],
): VoteBar[] {
  const bars: VoteBar[] = counts.map(({ answer, rollouts }, index) => ({
    label: answer,
    votes: rollouts.length,
    kind: index === 0 ? 'majority' : 'other',
  }));
  const stopped = ended.filter((rollout) => rollout.stopped === 'earlyStop').length;
  const silent = abstentions.length - stopped;
  if (silent > 0) bars.push({ label: 'no answer', votes: silent, kind: 'none' });
  if (stopped > 0) bars.push({ label: 'stopped early', votes: stopped, kind: 'none' });
  return bars;
}
