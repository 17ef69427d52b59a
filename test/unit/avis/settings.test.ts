import assert from 'node:assert/strict';
import { defaultSettings, settingRanges, vanillaSettings } from '../../../src/avis/settings';
import { checkSettings } from '../../../src/avis/settingsSchema';
import { AvisError } from '../../../src/shared/errors';

const policy = {
  bins: [{ upTo: 1, k: 3 }],
  tauDegrees: 54,
  temperature: 0.6,
  topP: 0.8,
  maxNewTokens: 200,
};

describe('settings', () => {
  it("default to the paper's, or to what the checkpoint was calibrated for", () => {
    assert.deepEqual(defaultSettings(null), {
      prune: { mode: 'adaptive', tauDegrees: 45 },
      rollouts: { mode: 'adaptive', cap: 7 },
      confidence: 0.95,
      temperature: 0.7,
      topP: 0.9,
      seed: 0,
      maxNewTokens: 2048,
      thinking: true,
      earlyStop: true,
    });
    const calibrated = defaultSettings(policy);
    assert.deepEqual(calibrated.prune, { mode: 'adaptive', tauDegrees: 54 });
    assert.equal(calibrated.temperature, 0.6);
    assert.equal(calibrated.topP, 0.8);
    assert.equal(calibrated.maxNewTokens, 200);
  });

  it('are valid by default and as vanilla', () => {
    for (const settings of [defaultSettings(null), defaultSettings(policy)]) {
      assert.deepEqual(checkSettings(settings), settings);
      const vanilla = vanillaSettings(settings);
      assert.deepEqual(checkSettings(vanilla), vanilla);
      assert.deepEqual(vanilla.prune, { mode: 'fixed', ratio: 0 });
      assert.deepEqual(vanilla.rollouts, { mode: 'fixed', k: 1 });
      assert.equal(vanilla.seed, settings.seed);
    }
  });

  it('may be at either end of every range', () => {
    for (const end of ['min', 'max'] as const) {
      const at = (name: keyof typeof settingRanges) => settingRanges[name][end];
      const shared = {
        confidence: at('confidence'),
        temperature: at('temperature'),
        topP: at('topP'),
        seed: at('seed'),
        maxNewTokens: at('maxNewTokens'),
        thinking: false,
        earlyStop: false,
      };
      checkSettings({
        ...shared,
        prune: { mode: 'adaptive', tauDegrees: at('tauDegrees') },
        rollouts: { mode: 'adaptive', cap: at('cap') },
      });
      checkSettings({
        ...shared,
        prune: { mode: 'fixed', ratio: at('ratio') },
        rollouts: { mode: 'fixed', k: at('k') },
      });
    }
  });

  const good = defaultSettings(null);
  for (const [settings, message] of [
    [
      { ...good, temperature: 0 },
      /settings\.temperature is 0: it must be a number from 0\.01 to 2/,
    ],
    [{ ...good, temperature: Number.NaN }, /settings\.temperature is NaN: .*from 0\.01 to 2/],
    [{ ...good, topP: '0.9' }, /settings\.topP is "0\.9": it must be a number from 0\.01 to 1/],
    [{ ...good, seed: 2 ** 32 }, /settings\.seed is 4294967296: it must be a whole number/],
    [{ ...good, seed: 1.5 }, /settings\.seed is 1\.5: it must be a whole number/],
    [{ ...good, maxNewTokens: 0 }, /settings\.maxNewTokens is 0: .*from 1 to 16384/],
    [
      { ...good, prune: { mode: 'fixed', ratio: 1 } },
      /settings\.prune\.ratio is 1: it must be a number from 0 to 0\.99/,
    ],
    [
      { ...good, prune: { mode: 'adaptive', tauDegrees: 91 } },
      /settings\.prune\.tauDegrees is 91: .*from 0 to 90/,
    ],
    [
      { ...good, prune: { mode: 'none' } },
      /settings\.prune\.mode is "none": Expected 'adaptive' \| 'fixed'/,
    ],
    [{ ...good, rollouts: {} }, /settings\.rollouts\.mode is missing/],
    [
      { ...good, rollouts: { mode: 'fixed', k: 17 } },
      /settings\.rollouts\.k is 17: .*from 1 to 16/,
    ],
    [{ ...good, rollouts: { mode: 'adaptive' } }, /settings\.rollouts\.cap is missing/],
    [{ ...good, thinking: 'yes' }, /settings\.thinking is "yes": expected boolean/],
    [{ ...good, temprature: 1 }, /settings has an unknown entry "temprature"/],
    [{ ...good, earlyStop: undefined }, /settings\.earlyStop is missing/],
    [null, /settings is null/],
  ] as const) {
    it(`refuses with ${message}`, () => {
      assert.throws(
        () => checkSettings(settings),
        (error) =>
          error instanceof AvisError && error.code === 'badInput' && message.test(error.message),
      );
    });
  }
});
