import { deepStrictEqual, rejects, strictEqual } from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { paperPrompt, readPolicy } from '../../../src/engine/policyFile';
import { temporaryFolder } from './models';

const bins = [
  { upTo: 0.5, k: 5 },
  { upTo: 1, k: 1 },
];

describe('policy of a checkpoint', () => {
  const folder = temporaryFolder();
  const write = (policy: object) => {
    mkdirSync(join(folder, 'avis'), { recursive: true });
    writeFileSync(join(folder, 'avis/policy.json'), JSON.stringify(policy));
  };

  it('is null where there is no file', async () => {
    strictEqual(await readPolicy(join(folder, 'elsewhere')), null);
  });

  it('holds what was calibrated', async () => {
    write({
      schemaVersion: 1,
      name: 'Tiny',
      tau: { degrees: 59 },
      bins,
      sampling: { temperature: 0.8, topP: 0.95 },
      prompt: { think: ' Think.', direct: ' Answer.' },
      maxNewTokens: 192,
      familiarity: { mean: [0, 1], spread: [1, 2], threshold: 1.5, formula: '…' },
    });
    deepStrictEqual(await readPolicy(folder), {
      name: 'Tiny',
      settings: { bins, tauDegrees: 59, temperature: 0.8, topP: 0.95, maxNewTokens: 192 },
      prompt: { think: ' Think.', direct: ' Answer.' },
      familiarity: { mean: [0, 1], spread: [1, 2], threshold: 1.5 },
    });
  });

  it("has the paper's values where it says nothing", async () => {
    write({ bins });
    deepStrictEqual(await readPolicy(folder), {
      name: null,
      settings: { bins, tauDegrees: 45, temperature: 0.7, topP: 0.9, maxNewTokens: 2048 },
      prompt: paperPrompt,
      familiarity: null,
    });
  });

  const wrong: [string, object, RegExp][] = [
    ['bins that fall', { bins: [bins[1], bins[0]] }, /^bins in .*rising upTo/],
    ['bins that end below 1', { bins: [bins[0]] }, /^bins in .*the last being 1/],
    ['no bins', {}, /^bins in /],
    ['a bin of no rollouts', { bins: [{ upTo: 1, k: 0 }] }, /^bins in .*k from 1 to 16/],
    ['a bin of too many', { bins: [{ upTo: 1, k: 17 }] }, /^bins in .*k from 1 to 16/],
    ['τ beyond 90°', { bins, tau: { degrees: 91 } }, /^tau\.degrees .* 91; expected .* 0 to 90\.$/],
    [
      'temperature 0',
      { bins, sampling: { temperature: 0 } },
      /^sampling\.temperature .* 0\.01 to 2/,
    ],
    ['top-p above 1', { bins, sampling: { topP: 1.1 } }, /^sampling\.topP .* 0\.01 to 1/],
    ['no new tokens', { bins, maxNewTokens: 0 }, /^maxNewTokens .* 1 to 16384/],
    [
      'a temperature in words',
      { bins, sampling: { temperature: 'hot' } },
      /^sampling\.temperature/,
    ],
    [
      'a spread of zero',
      { bins, familiarity: { mean: [0], spread: [0], threshold: 1 } },
      /^familiarity in .*positive spread/,
    ],
  ];
  for (const [name, policy, message] of wrong) {
    it(`is refused for ${name}`, async () => {
      write(policy);
      await rejects(readPolicy(folder), { code: 'badModel', message });
    });
  }
});
