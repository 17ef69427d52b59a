import assert from 'node:assert/strict';
import { computeWithVanilla, vanillaOf } from '../../../src/avis/measuredVanilla';
import type { RunRecord } from '../../../src/shared/panelProtocol';
import { record } from '../webview/fixtures';

function vanilla(id: number, change: (run: RunRecord) => void = () => {}): RunRecord {
  const made = record(id, { purpose: 'vanilla' });
  made.result.compute = {
    ...made.result.compute,
    run: { vision: 100, prefill: 40, decode: 10 },
    kvBytes: 77,
  };
  change(made);
  return made;
}

/** Vanilla under another limit, and how it ended. */
function limited(limit: number, tokens: number, stopped: 'endOfTurn' | 'maxNewTokens'): RunRecord {
  return vanilla(2, ({ result }) => {
    result.settings = { ...result.settings, maxNewTokens: limit };
    result.rollouts = [{ ...result.rollouts[0]!, tokens, stopped }];
  });
}

describe('measured vanilla', () => {
  const run = record(1);

  it('replaces the estimate, counting without and with the vision encoder', () => {
    run.result.compute.run = { vision: 100, prefill: 15, decode: 10 };
    const compute = computeWithVanilla(run, [run, vanilla(2)]);
    assert.equal(compute.saved, 1 - 25 / 50);
    assert.equal(compute.savedWithVision, 1 - 125 / 150);
    assert.equal(compute.vanillaKvBytes, 77);
    assert.equal(compute.vanillaSource, 'measured');
  });

  it('takes the newest of the same question, model and thinking only', () => {
    const older = vanilla(2);
    const newer = vanilla(3);
    const others = [
      vanilla(4, ({ result }) => (result.question = 'Another?')),
      vanilla(5, ({ result }) => (result.model = { ...result.model, name: 'another' })),
      vanilla(6, ({ result }) => {
        result.settings = { ...result.settings, thinking: !result.settings.thinking };
      }),
    ];
    assert.equal(vanillaOf(run, [run, older, newer, ...others]), newer);
    assert.equal(vanillaOf(run, [run, ...others]), null);
    assert.equal(computeWithVanilla(run, [run, ...others]), run.result.compute);
  });

  it('leaves one out that another limit cut, or would have cut', () => {
    const { maxNewTokens } = run.result.settings;
    const cut = limited(8, 8, 'maxNewTokens');
    const longer = limited(2 * maxNewTokens, maxNewTokens + 1, 'endOfTurn');
    assert.equal(vanillaOf(run, [run, cut, longer]), null);
    const ended = limited(2 * maxNewTokens, maxNewTokens, 'endOfTurn');
    assert.equal(vanillaOf(run, [run, ended, cut, longer]), ended);
  });
});
