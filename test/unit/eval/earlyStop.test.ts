import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defaultSettings } from '../../../src/avis/settings';
import { Engine } from '../../../src/engine/engine';
import type { AskSettings } from '../../../src/shared/types';
import { readItems } from '../../eval/measurements';
import { stopEarly } from '../../eval/summary';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const set = join(root, 'test/fixtures/eval');

describe('early stop in the engine, with the embedded model', () => {
  let engine: Engine;
  let cacheFolder: string;

  before(async () => {
    cacheFolder = mkdtempSync(join(tmpdir(), 'avis-early-'));
    const folder = join(root, 'media/model');
    engine = await Engine.load({ folder, device: 'cpu', dtype: 'auto', cacheFolder });
  });

  after(async () => {
    await engine.dispose();
    rmSync(cacheFolder, { recursive: true });
  });

  it('gives the answer of the full run, and stops where the evaluation counts it to stop', async () => {
    let stopped = 0;
    for (const { image, question } of readItems(set).slice(0, 12)) {
      const settings: AskSettings = {
        ...defaultSettings(engine.info.policy),
        prune: { mode: 'fixed', ratio: 0 },
        rollouts: { mode: 'fixed', k: 7 },
        temperature: 1.2,
        topP: 1,
        maxNewTokens: 120,
      };
      const query = { image: { name: image, bytes: readFileSync(join(set, image)) }, question };
      const full = await engine.ask({ ...query, settings: { ...settings, earlyStop: false } });
      const early = await engine.ask({ ...query, settings: { ...settings, earlyStop: true } });
      assert.equal(early.vote.answer, full.vote.answer, image);
      assert.deepEqual(
        early.rollouts.map(({ answer, tokens }) => ({ answer, tokens })),
        stopEarly(full.rollouts.map(({ answer, tokens }) => ({ answer, tokens }))),
        image,
      );
      stopped += early.rollouts.filter((rollout) => rollout.stopped === 'earlyStop').length;
    }
    assert.ok(stopped > 0, 'no rollout was stopped');
  });
});
