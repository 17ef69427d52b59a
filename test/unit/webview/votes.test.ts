import assert from 'node:assert/strict';
import type { LiveRollout } from '../../../webview/panelModel';
import { provisionalVote, rolloutRows, voteBars } from '../../../webview/votes';
import { record } from './fixtures';

describe('votes', () => {
  const finished = record(1, { answers: ['a', 'b', 'b', null] }).result;
  const rows = rolloutRows(finished);

  it('are counted while rollouts still run', () => {
    const running: LiveRollout[] = [rows[1]!, { ...rows[2]!, result: null }, rows[3]!];
    const vote = provisionalVote(running)!;
    assert.equal(vote.answer, 'b');
    assert.deepEqual(vote.counts, [{ answer: 'b', rollouts: [1] }]);
    assert.deepEqual(vote.abstentions, [3]); // not rollout 0 and 2, of which nothing is known yet
  });

  it('are unknown before the first has ended', () => {
    assert.equal(provisionalVote([{ ...rows[0]!, result: null }]), null);
  });

  it('come to the run’s own vote once all have ended', () => {
    assert.deepEqual(provisionalVote(rows), finished.vote);
  });

  it('have a bar for each answer, and apart for those without one', () => {
    const stopped = record(1, { answers: ['b', 'b', null], stopped: 'earlyStop' }).result;
    assert.deepEqual(voteBars(finished.vote, finished.rollouts), [
      { label: 'b', votes: 2, kind: 'majority' },
      { label: 'a', votes: 1, kind: 'other' },
      { label: 'no answer', votes: 1, kind: 'none' },
    ]);
    assert.deepEqual(voteBars(stopped.vote, stopped.rollouts).at(-1), {
      label: 'stopped early',
      votes: 1,
      kind: 'none',
    });
  });
});
