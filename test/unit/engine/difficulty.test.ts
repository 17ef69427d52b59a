import { deepStrictEqual, strictEqual } from 'node:assert/strict';
import { settingRanges } from '../../../src/avis/settings';
import { chooseDifficulty, nextWave } from '../../../src/engine/difficulty';
import type { RolloutSetting } from '../../../src/shared/types';

const bins = [
  { upTo: 0.2, k: 1 },
  { upTo: 0.7, k: 7 },
  { upTo: 1, k: 3 },
];

const ask = (rollouts: RolloutSetting) => ({ rollouts, confidence: 0.95 });

describe('how many rollouts', () => {
  it('follows the policy under the cap', () => {
    deepStrictEqual(chooseDifficulty(ask({ mode: 'adaptive', cap: 5 }), 0.5, bins), {
      source: 'predictor',
      solvability: 0.5,
      wanted: 7,
      k: 5,
      cap: 5,
    });
    strictEqual(chooseDifficulty(ask({ mode: 'adaptive', cap: 7 }), 0.1, bins).k, 1);
    strictEqual(chooseDifficulty(ask({ mode: 'adaptive', cap: 7 }), 0.9, bins).k, 3);
  });

  it('takes a fixed K, and still tells p̂', () => {
    const fixed = chooseDifficulty(ask({ mode: 'fixed', k: 16 }), 0.5, bins);
    deepStrictEqual(fixed, { source: 'fixed', solvability: 0.5, wanted: 16, k: 16, cap: null });
  });

  it('starts with the fewest that could settle where there is no predictor', () => {
    // Four votes for one answer: P(share > ½) = 1 − 2⁻⁵ = 0.969; three: 0.9375.
    const first = chooseDifficulty(ask({ mode: 'adaptive', cap: 7 }), null);
    deepStrictEqual([first.source, first.k, first.wanted], ['betaStopping', 4, 7]);
    strictEqual(chooseDifficulty(ask({ mode: 'adaptive', cap: 3 }), null).k, 3);
  });

  it('goes on in waves until the Beta rule holds or the cap is reached', () => {
    strictEqual(nextWave(['A', 'A', 'A', 'A'], 16, 0.95), 0);
    // 3 : 1 needs three more: 6 : 1 gives 0.965, 5 : 1 gives 0.9375.
    strictEqual(nextWave(['A', 'B', 'A', 'A'], 16, 0.95), 3);
    strictEqual(nextWave(['A', 'B', 'A', 'A'], 6, 0.95), 2);
    strictEqual(nextWave(['A', 'B', 'C', null], 4, 0.95), 0);
    // Less sure, three alike are enough.
    strictEqual(nextWave(['A', 'A', 'A'], 16, 0.9), 0);
    // An abstention is no vote for anybody.
    strictEqual(nextWave(['A', null, 'A', 'A'], 16, 0.95), 1);
  });

  it('runs at least one rollout at the lowest confidence', () => {
    const { min } = settingRanges.confidence;
    strictEqual(nextWave([], 7, min), 1);
    strictEqual(nextWave([null], 7, min), 1);
    strictEqual(nextWave(['A'], 7, min), 0);
  });
});
