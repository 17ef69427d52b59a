import assert from 'node:assert/strict';
import { auroc, bootstrapMean, median, wilson } from '../../eval/statistics';
import { randomSource } from '../avis/random';

function near(actual: number, expected: number, tolerance: number): void {
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual}, expected ${expected}`);
}

describe('Wilson interval', () => {
  it('ends where the normal score test just rejects: |p̂ − p| = z·√(p(1−p)/n)', () => {
    for (const [successes, trials] of [
      [8, 10],
      [1, 20],
      [500, 1000],
    ] as const) {
      const { value, low, high } = wilson(successes, trials);
      near(value, successes / trials, 0);
      for (const end of [low, high]) {
        const half = 1.959963984540054 * Math.sqrt((end * (1 - end)) / trials);
        near(Math.abs(value - end), half, 1e-12);
      }
      assert.ok(low < value && value < high);
    }
  });

  it('stays within [0, 1] and is everything without trials', () => {
    assert.equal(wilson(0, 20).low, 0);
    assert.equal(wilson(20, 20).high, 1);
    assert.deepEqual([wilson(0, 0).low, wilson(0, 0).high], [0, 1]);
  });
});

describe('bootstrap', () => {
  it('agrees with the normal approximation on many values', () => {
    const random = randomSource(4);
    const values = Array.from({ length: 2000 }, () => (random() < 0.3 ? 1 : 0));
    const { value, low, high } = bootstrapMean(values);
    const half = 1.96 * Math.sqrt((value * (1 - value)) / values.length);
    near(low, value - half, 0.003);
    near(high, value + half, 0.003);
  });

  it('is a point where all values agree', () => {
    assert.deepEqual(bootstrapMean([0.5, 0.5]), { value: 0.5, low: 0.5, high: 0.5 });
  });
});

describe('AUROC', () => {
  it('equals the share of pairs in the right order', () => {
    const random = randomSource(6);
    const scores = Array.from({ length: 80 }, () => Math.floor(random() * 10));
    const positive = scores.map((score) => random() * 10 < score);
    let pairs = 0;
    let right = 0;
    for (const [i, a] of scores.entries()) {
      for (const [j, b] of scores.entries()) {
        if (!positive[i] || positive[j]) continue;
        pairs++;
        right += a > b ? 1 : a === b ? 0.5 : 0;
      }
    }
    near(auroc(scores, positive)!, right / pairs, 1e-12);
  });

  it('is 1 for a perfect order, a half for none, and null without both classes', () => {
    assert.equal(auroc([1, 2, 3, 4], [false, false, true, true]), 1);
    assert.equal(auroc([1, 1, 1], [true, false, true]), 0.5);
    assert.equal(auroc([1, 2], [true, true]), null);
  });
});

describe('median', () => {
  it('is the middle, or between the two in the middle', () => {
    assert.equal(median([3, 1, 2]), 2);
    assert.equal(median([4, 1, 3, 2]), 2.5);
  });
});
