import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Ajv } from 'ajv';
import {
  type AvisConfig,
  buildConfig,
  configSchema,
  parseConfig,
  toReferenceFlags,
} from '../../../src/avis/config';
import { defaultSettings } from '../../../src/avis/settings';
import { AvisError } from '../../../src/shared/errors';
import type { AskSettings } from '../../../src/shared/types';
import { configJsonSchema, schemaFile } from '../../scripts/makeConfigSchema';
import { sampleModel as model, sampleResult as result } from './sampleRun';

const config = buildConfig(model, result);
const schema = JSON.parse(readFileSync(schemaFile, 'utf8')) as object;
const validateBySchema = new Ajv({ strict: true }).compile(schema);

/** A deep copy with one entry set, or removed where `value` is undefined. */
function withEntry(path: string, value: unknown): unknown {
  const copy = structuredClone(config) as unknown as Record<string, unknown>;
  const keys = path.split('.');
  const last = keys.pop()!;
  let target = copy;
  for (const key of keys) target = target[key] as Record<string, unknown>;
  if (value === undefined) delete target[last];
  else target[last] = value;
  return copy;
}

function withSettings(settings: Partial<AskSettings>): AvisConfig {
  return { ...config, settings: { ...defaultSettings(null), ...settings } };
}

describe('configuration file', () => {
  it('survives the round trip through JSON', () => {
    assert.deepEqual(parseConfig(JSON.stringify(config), 'a.avis.json'), config);
  });

  it('counts no rollout that was stopped early as an abstention', () => {
    const rollouts = result.rollouts.map((one) => ({
      ...one,
      stopped: one.answer === null ? ('earlyStop' as const) : one.stopped,
    }));
    assert.equal(config.evidence.abstentions, 1);
    assert.equal(buildConfig(model, { ...result, rollouts }).evidence.abstentions, 0);
  });

  it('carries the settings, the model, the bins and what was measured', () => {
    assert.equal(config.schemaVersion, 1);
    assert.deepEqual(config.settings, result.settings);
    assert.deepEqual(config.model.fileHashes, model.fileHashes);
    assert.deepEqual(config.policy, { bins: model.policy!.bins });
    assert.deepEqual(config.evidence.votes, [{ answer: '4', rollouts: 2 }]);
    assert.deepEqual(config.evidence.rollouts, { wanted: 7, k: 3, tokens: [20, 21, 22] });
    assert.equal(JSON.stringify(config).includes(model.folder), false);
  });

  it('has null for the policy of a checkpoint without one', () => {
    const without = buildConfig({ ...model, policy: null }, result);
    assert.equal(without.policy, null);
    parseConfig(JSON.stringify(without), 'a.avis.json');
  });

  for (const [path, value, reason] of [
    ['settings.prune.ratio', 0.5, '$.settings.prune has an unknown entry "ratio"'],
    ['settings.prune', { mode: 'fixed', ratio: 1.5 }, '$.settings.prune.ratio is 1.5: it must'],
    ['settings.rollouts.cap', 'many', '$.settings.rollouts.cap is "many": it must be a whole'],
    ['settings.seed', -1, '$.settings.seed is -1'],
    ['settings.topP', undefined, '$.settings.topP is missing'],
    ['schemaVersion', 2, '$.schemaVersion is 2'],
    ['schemaVersion', undefined, '$.schemaVersion is missing'],
    ['model.fileHashes', { 'config.json': 'abc' }, '$.model.fileHashes.config.json is "abc"'],
    ['policy.bins', [], '$.policy.bins is []'],
    ['policy.bins', [{ upTo: 2, k: 1 }], '$.policy.bins.0.upTo is 2'],
    ['evidence', undefined, '$.evidence is missing'],
    ['evidence.flops.vanillaSource', 'guessed', '$.evidence.flops.vanillaSource is "guessed"'],
    ['extra', 1, '$ has an unknown entry "extra"'],
  ] as const) {
    it(`is refused with the path and the reason: ${reason}`, () => {
      const changed = withEntry(path, value);
      assert.throws(
        () => parseConfig(JSON.stringify(changed), 'mine.avis.json'),
        (error) =>
          error instanceof AvisError &&
          error.code === 'badInput' &&
          error.message.startsWith(`mine.avis.json isn't an AVIS configuration: ${reason}`),
      );
      assert.equal(validateBySchema(changed), false, 'the published schema accepts it');
    });
  }

  it('is refused where it is not JSON, or not an object', () => {
    assert.throws(() => parseConfig('{', 'x.avis.json'), /^AvisError: x\.avis\.json isn't JSON: /);
    assert.throws(() => parseConfig('[]', 'x.avis.json'), /x\.avis\.json isn't an AVIS/);
  });
});

describe('published schema', () => {
  it('is the one that the code reads by (npx tsx test/scripts/makeConfigSchema.ts)', async () => {
    assert.equal(readFileSync(schemaFile, 'utf8'), await configJsonSchema());
  });

  for (const [what, valid] of [
    ['an exported run', config],
    ['a $schema entry', { $schema: './avis-config.schema.json', ...config }],
    ['a run without an answer', withEntry('evidence.answer', null)],
    ['no policy', withEntry('policy', null)],
    ['fixed levers', withSettings({ prune: { mode: 'fixed', ratio: 0 } })],
  ] as const) {
    it(`accepts ${what}, as the code does`, () => {
      assert.ok(validateBySchema(valid), JSON.stringify(validateBySchema.errors));
      assert.ok(configSchema.safeParse(valid).success);
    });
  }

  it('describes every setting', () => {
    const { properties } = (
      schema as {
        properties: { settings: { properties: Record<string, { description?: string }> } };
      }
    ).properties.settings;
    for (const [name, { description }] of Object.entries(properties)) assert.ok(description, name);
  });
});

describe('reference flags', () => {
  for (const [settings, flags] of [
    [
      { prune: { mode: 'fixed', ratio: 0 }, rollouts: { mode: 'fixed', k: 1 } },
      '--num-rollouts 1 --max-new-tokens 2048  # no flag for: seed 0',
    ],
    [
      { prune: { mode: 'fixed', ratio: 0.75 }, rollouts: { mode: 'fixed', k: 5 }, thinking: false },
      '--enable-kdv --kdv-ratio 0.75 --num-rollouts 5 --max-new-tokens 2048 --no-enable-thinking' +
        '  # no flag for: seed 0',
    ],
    [
      {},
      '--enable-kdv --enable-policy --policy-path ./policy_checkpoint.pt --max-new-tokens 2048' +
        '  # no flag for: seed 0',
    ],
    [
      {
        prune: { mode: 'adaptive', tauDegrees: 54 },
        rollouts: { mode: 'adaptive', cap: 3 },
        temperature: 0.5,
        topP: 1,
        seed: 9,
      },
      '--enable-kdv --enable-policy --policy-path ./policy_checkpoint.pt --max-new-tokens 2048' +
        '  # no flag for: tau 54 degrees (fixed at 45), at most 3 rollouts,' +
        ' temperature 0.5 (fixed at 0.7), top-p 1 (fixed at 0.9), seed 9',
    ],
    [
      { rollouts: { mode: 'fixed', k: 3 } },
      '--enable-kdv --kdv-ratio 0.75 --num-rollouts 3 --max-new-tokens 2048' +
        "  # no flag for: adaptive rho (this run's stands in), seed 0",
    ],
    [
      { prune: { mode: 'fixed', ratio: 0.5 } },
      '--enable-kdv --kdv-ratio 0.5 --num-rollouts 3 --max-new-tokens 2048' +
        "  # no flag for: adaptive K (this run's stands in), seed 0",
    ],
  ] as [Partial<AskSettings>, string][]) {
    it(flags, () => assert.equal(toReferenceFlags(withSettings(settings)), flags));
  }
});
