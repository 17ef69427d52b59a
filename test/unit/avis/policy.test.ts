import assert from 'node:assert/strict';
import { chooseRollouts, defaultBins } from '../../../src/avis/policy';

const bins = [
  { upTo: 0.2, k: 1 },
  { upTo: 0.6, k: 7 },
  { upTo: 0.8, k: 3 },
  { upTo: 1, k: 1 },
];

describe('chooseRollouts', () => {
  it('takes the bin whose upper edge is the first that p̂ does not exceed', () => {
    for (const [solvability, k] of [
      [0, 1],
      [0.2, 1],
      [0.2000001, 7],
      [0.6, 7],
      [0.61, 3],
      [0.8, 3],
      [0.81, 1],
      [1, 1],
    ] as const) {
      assert.deepEqual(chooseRollouts(solvability, bins, 16), { wanted: k, k });
    }
  });

  it('cuts K at the cap and still says what was wanted', () => {
    assert.deepEqual(chooseRollouts(0.5, bins, 3), { wanted: 7, k: 3 });
    assert.deepEqual(chooseRollouts(0.5, bins, 1), { wanted: 7, k: 1 });
  });

  it('has default bins that rise and fall over K ∈ {1, 3, 5, 7} and end at 1', () => {
    const ks = defaultBins.map(({ k }) => k);
    const peak = ks.indexOf(7);
    assert.deepEqual(new Set(ks), new Set([1, 3, 5, 7]));
    assert.equal(ks[0], 1);
    assert.equal(ks.at(-1), 1);
    assert.deepEqual(
      ks.slice(0, peak + 1),
      ks.slice(0, peak + 1).sort((a, b) => a - b),
    );
    assert.deepEqual(
      ks.slice(peak),
      ks.slice(peak).sort((a, b) => b - a),
    );
    assert.equal(defaultBins.at(-1)!.upTo, 1);
    for (const [i, bin] of defaultBins.entries()) {
      assert.ok(i === 0 || bin.upTo > defaultBins[i - 1]!.upTo);
    }
  });
});
