import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { defaultSettings, settingRanges } from '../../../src/avis/settings';
import { dtypeSuffixes } from '../../../src/shared/dtypes';

interface Property {
  type: string | string[];
  default: unknown;
  minimum?: number;
  maximum?: number;
  enum?: string[];
}

interface Manifest {
  contributes: {
    configuration: { properties: Record<string, Property> }[];
    menus: Record<string, { command: string; when: string }[]>;
  };
}

const manifest = JSON.parse(
  readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'),
) as Manifest;
const properties = Object.assign(
  {},
  ...manifest.contributes.configuration.map((section) => section.properties),
) as Record<string, Property>;

describe('settings of the manifest', () => {
  const rangeOf: Record<string, keyof typeof settingRanges> = {
    tauDegrees: 'tauDegrees',
    pruneRatio: 'ratio',
    rolloutCap: 'cap',
    rollouts: 'k',
    confidence: 'confidence',
    temperature: 'temperature',
    topP: 'topP',
    seed: 'seed',
    maxNewTokens: 'maxNewTokens',
  };

  it('bound every number, the levers as the engine does', () => {
    for (const [name, { type, minimum, maximum }] of Object.entries(properties)) {
      if (![type].flat().some((one) => one === 'number' || one === 'integer')) continue;
      assert.ok(minimum !== undefined && maximum !== undefined, name);
      const lever = rangeOf[name.replace('avis.defaults.', '')];
      if (name.startsWith('avis.defaults.')) assert.ok(lever, name);
      if (lever) assert.deepEqual({ min: minimum, max: maximum }, settingRanges[lever], name);
    }
  });

  it('start the levers where the engine starts them', () => {
    const { rollouts, confidence, seed, thinking, earlyStop } = defaultSettings(null);
    const cap = rollouts.mode === 'adaptive' ? rollouts.cap : null;
    const expected = { rolloutCap: cap, confidence, seed, thinking, earlyStop };
    for (const [name, value] of Object.entries(expected)) {
      assert.equal(properties[`avis.defaults.${name}`]?.default, value, name);
    }
  });

  it('offer every variant that the engine knows', () => {
    assert.deepEqual(
      properties['avis.engine.dtype']?.enum?.toSorted(),
      ['auto', ...Object.keys(dtypeSuffixes)].toSorted(),
    );
  });
});

describe('menus of the manifest', () => {
  it('offer nothing on a folder that is named like a file', () => {
    const entries = manifest.contributes.menus['explorer/context'] ?? [];
    assert.equal(entries.length, 2);
    for (const { command, when } of entries) {
      assert.match(when, /^!explorerResourceIsFolder && /, command);
    }
  });
});
