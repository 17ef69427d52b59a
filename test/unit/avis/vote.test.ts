import assert from 'node:assert/strict';
import { extractAnswer, isVoteSettled, tallyVotes } from '../../../src/avis/vote';
import { randomSource } from './random';

describe('extractAnswer', () => {
  for (const [text, answer] of [
    ['<think>1 + 1</think><answer> 2 </answer>', '2'],
    ['<answer>a</answer> no: <answer>b</answer>', 'b'],
    ['<answer>a</answer> no: <answer>b', 'a'],
    ['<answer>a <answer>b</answer>', 'b'],
    ['<answer>a</answer> stray </answer>', 'a'],
    ['<answer>two\nlines</answer>', 'two\nlines'],
    ['<answer>قطة 🐈</answer>', 'قطة 🐈'],
    ['<answer>3 < 4</answer>', '3 < 4'],
    ['<answer>  </answer>', null],
    ['<answer></answer>', null],
    ['<answer>open', null],
    ['42', null],
    ['', null],
  ] as const) {
    it(`finds ${JSON.stringify(answer)} in ${JSON.stringify(text)}`, () => {
      assert.equal(extractAnswer(text), answer);
    });
  }

  it('stays fast on a long text full of openings', () => {
    assert.equal(extractAnswer('<answer>'.repeat(100_000)), null);
  });
});

describe('tallyVotes', () => {
  it('counts, most votes first, and shows abstentions', () => {
    assert.deepEqual(tallyVotes(['a', null, 'b', 'b']), {
      answer: 'b',
      counts: [
        { answer: 'b', rollouts: [2, 3] },
        { answer: 'a', rollouts: [0] },
      ],
      abstentions: [1],
    });
  });

  it('gives a tie to the answer that first reached the count', () => {
    assert.equal(tallyVotes(['a', 'b', 'b', 'a']).answer, 'b');
    assert.equal(tallyVotes(['a', 'b']).answer, 'a');
    assert.equal(tallyVotes([null, 'b', 'a', 'a', 'b']).answer, 'a');
  });

  it('has no answer when every rollout abstained', () => {
    assert.deepEqual(tallyVotes([null, null]), { answer: null, counts: [], abstentions: [0, 1] });
    assert.equal(tallyVotes([]).answer, null);
  });

  it('agrees with a literal count of who reaches the winning count first', () => {
    const random = randomSource(3);
    for (let trial = 0; trial < 2000; trial++) {
      const answers = randomAnswers(random, 1 + Math.floor(random() * 16), 4);
      assert.equal(tallyVotes(answers).answer, literalWinner(answers), answers.join());
    }
  });
});

describe('isVoteSettled', () => {
  // A running rollout may give an answer already seen, a new one (the same as another running one or
  // not), or none; more labels than rollouts would add nothing.
  it('holds exactly when every completion has the same majority: all states of up to 4 rollouts', () => {
    for (let rollouts = 1; rollouts <= 4; rollouts++) {
      for (const state of sequences([undefined, null, 'a', 'b', 'c', 'd'], rollouts)) {
        const outcomes = new Set(
          completions(state, [null, 'a', 'b', 'c', 'd', 'x', 'y', 'z']).map(literalWinner),
        );
        assert.equal(isVoteSettled(state), outcomes.size === 1, JSON.stringify(state));
      }
    }
  });

  it('holds exactly then for many random states of up to 16 rollouts', () => {
    const random = randomSource(5);
    let settledWhileRunning = 0;
    for (let trial = 0; trial < 3000; trial++) {
      const rollouts = 2 + Math.floor(random() * 15);
      const labels = 1 + Math.floor(random() * 4);
      const state: (string | null | undefined)[] = randomAnswers(random, rollouts, labels);
      const running = 1 + Math.floor(random() * Math.min(4, rollouts));
      for (let i = 0; i < running; i++) state[Math.floor(random() * rollouts)] = undefined;
      const outcomes = new Set(
        completions(state, [null, 'a', 'b', 'c', 'd', 'new', 'newer']).map(literalWinner),
      );
      const settled = outcomes.size === 1;
      assert.equal(isVoteSettled(state), settled, JSON.stringify(state));
      if (settled) settledWhileRunning++;
    }
    assert.ok(settledWhileRunning > 300, `${settledWhileRunning} of the states were settled`);
  });

  it('never changes the answer of a run that it stops, in whatever order the rollouts finish', () => {
    const random = randomSource(9);
    let stopped = 0;
    for (let trial = 0; trial < 20_000; trial++) {
      const answers = randomAnswers(random, 1 + Math.floor(random() * 16), 3);
      const order = [...answers.keys()].sort(() => random() - 0.5);
      const seen: (string | null | undefined)[] = answers.map(() => undefined);
      while (!isVoteSettled(seen)) {
        const next = order.pop()!;
        seen[next] = answers[next]!;
      }
      if (order.length > 0) stopped++;
      const afterStop = tallyVotes(seen.map((answer) => answer ?? null));
      assert.equal(afterStop.answer, tallyVotes(answers).answer);
    }
    assert.ok(stopped > 5000, `${stopped} runs were stopped early`);
  });
});

function randomAnswers(random: () => number, rollouts: number, labels: number): (string | null)[] {
  return Array.from({ length: rollouts }, () =>
    random() < 0.15 ? null : 'abcd'[Math.floor(random() * labels)]!,
  );
}

/** Walks through the votes in order; the first to reach the final highest count wins. */
function literalWinner(answers: (string | null)[]): string | null {
  const votes = answers.filter((answer) => answer !== null);
  const total = (answer: string) => votes.filter((vote) => vote === answer).length;
  const most = Math.max(0, ...votes.map(total));
  const soFar = new Map<string, number>();
  for (const vote of votes) {
    soFar.set(vote, (soFar.get(vote) ?? 0) + 1);
    if (soFar.get(vote) === most) return vote;
  }
  return null;
}

function sequences<T>(values: T[], length: number): T[][] {
  if (length === 0) return [[]];
  return sequences(values, length - 1).flatMap((head) => values.map((value) => [...head, value]));
}

function completions(
  state: (string | null | undefined)[],
  values: (string | null)[],
): (string | null)[][] {
  const running = state.filter((answer) => answer === undefined).length;
  return sequences(values, running).map((endings) => {
    const rest = [...endings];
    return state.map((answer) => (answer === undefined ? rest.pop()! : answer));
  });
}
