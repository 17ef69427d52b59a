import assert from 'node:assert/strict';
import { isAnswerSettled, majorityProbability } from '../../../src/avis/betaStopping';

/** ∫ over [½, 1] of x^first·(1−x)^second, divided by that over [0, 1], by Simpson's rule. */
function integratedProbability(first: number, second: number): number {
  const density = (x: number) => x ** first * (1 - x) ** second;
  const simpson = (from: number, to: number) => {
    const steps = 4000;
    const width = (to - from) / steps;
    let sum = density(from) + density(to);
    for (let i = 1; i < steps; i++) sum += density(from + i * width) * (i % 2 === 1 ? 4 : 2);
    return (sum * width) / 3;
  };
  return simpson(0.5, 1) / simpson(0, 1);
}

describe('Beta stopping', () => {
  it('equals the numerically integrated Beta distribution to 1e-9, for all counts up to 16', () => {
    for (let first = 0; first <= 16; first++) {
      for (let second = 0; second <= first; second++) {
        const difference =
          majorityProbability(first, second) - integratedProbability(first, second);
        assert.ok(Math.abs(difference) < 1e-9, `${first}, ${second}: ${difference}`);
      }
    }
  });

  it('stops at 95 % after four equal answers, not after three', () => {
    assert.equal(isAnswerSettled([3], 0.95), false);
    assert.equal(isAnswerSettled([4], 0.95), true);
  });

  it('looks at the two highest counts, in whatever order they come', () => {
    assert.equal(isAnswerSettled([1, 6], 0.95), isAnswerSettled([6, 1], 0.95));
    assert.equal(isAnswerSettled([1, 1, 1, 7], 0.95), isAnswerSettled([7, 1], 0.95));
    assert.equal(isAnswerSettled([7, 1], 0.95), true);
    assert.equal(isAnswerSettled([5, 4], 0.95), false);
  });

  it('is undecided without votes', () => {
    assert.equal(majorityProbability(0, 0), 0.5);
    assert.equal(isAnswerSettled([], 0.95), false);
  });
});
