import type { RolloutResult, VoteResult } from '../shared/types';

/**
 * The stripped text inside the last closed `<answer>…</answer>`.
 * @returns null where there is none or it is empty: an abstention.
 */
export function extractAnswer(text: string): string | null {
  const closed = text.matchAll(/<answer>((?:(?!<answer>)[\s\S])*?)<\/answer>/g);
  const answer = [...closed].at(-1)?.[1]?.trim();
  return answer ? answer : null;
}

/**
 * Majority vote (self-consistency). Equal counts go to the answer that reached the count first, in
 * rollout order; so the result depends on the rollouts' indices and never on which finished first.
 * @param answers by rollout index; null = abstention
 */
export function tallyVotes(answers: (string | null)[]): VoteResult {
  const rolloutsOf = new Map<string, number[]>();
  const abstentions: number[] = [];
  for (const [index, answer] of answers.entries()) {
    if (answer === null) abstentions.push(index);
    else if (rolloutsOf.has(answer)) rolloutsOf.get(answer)!.push(index);
    else rolloutsOf.set(answer, [index]);
  }
  const counts = [...rolloutsOf]
    .map(([answer, rollouts]) => ({ answer, rollouts }))
    .sort(
      (a, b) => b.rollouts.length - a.rollouts.length || a.rollouts.at(-1)! - b.rollouts.at(-1)!,
    );
  return { answer: counts[0]?.answer ?? null, counts, abstentions };
}

/** Rollouts that ended without an answer. One that was stopped early had no chance to give one. */
export function countAbstentions(rollouts: readonly RolloutResult[]): number {
  return rollouts.filter(({ answer, stopped }) => answer === null && stopped !== 'earlyStop')
    .length;
}

/**
 * Whether the majority answer is certain whatever the running rollouts will say (an answer already
 * seen, a new one, or none), under the tie rule of `tallyVotes`. Stopping them then loses nothing.
 *
 * The best that a rival can hope for is every running vote. Its last vote is then where it reaches its
 * count, which decides a tie.
 * @param finished by rollout index; null = abstained, undefined = still running
 */
export function isVoteSettled(finished: (string | null | undefined)[]): boolean {
  const lastRunning = finished.lastIndexOf(undefined);
  if (lastRunning === -1) return true;
  const { counts } = tallyVotes(finished.map((answer) => answer ?? null));
  const [leader, ...rivals] = counts;
  if (!leader) return false;

  const running = finished.filter((answer) => answer === undefined).length;
  const newcomer = { rollouts: [] };
  return [...rivals, newcomer].every(({ rollouts }) => {
    const most = rollouts.length + running;
    if (most !== leader.rollouts.length) return most < leader.rollouts.length;
    return Math.max(lastRunning, rollouts.at(-1) ?? -1) > leader.rollouts.at(-1)!;
  });
}
