import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaultSettings } from '../../../src/avis/settings';
import { Engine } from '../../../src/engine/engine';
import { loadModel, type Model } from '../../../src/engine/model';
import type { AskSettings } from '../../../src/shared/types';
import { fixtures } from './reference';

/** Its decoder concatenates its cache. */
export const plainCheckpoint = join(fixtures, 'checkpoints/qwen2_5_vl-tiny');
/** Its decoder has GroupQueryAttention. */
export const fusedCheckpoint = join(fixtures, 'checkpoints/qwen2_5_vl-tiny-fused');
/** It has been trained, so it answers. */
export const embeddedModel = join(import.meta.dirname, '../../../media/model');

/** A folder for the running suite. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'avis-engine-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export function loadFixture(folder: string, cacheFolder: string): Promise<Model> {
  return loadModel({ folder, device: 'cpu', dtype: 'auto', cacheFolder }, () => {});
}

export function loadEngine(folder: string, cacheFolder: string): Promise<Engine> {
  return Engine.load({ folder, device: 'cpu', dtype: 'auto', cacheFolder });
}

/** Short, unpruned, without early stop, so that every token counts. */
export function testSettings(changes: Partial<AskSettings> = {}): AskSettings {
  return {
    ...defaultSettings(null),
    prune: { mode: 'fixed', ratio: 0 },
    rollouts: { mode: 'fixed', k: 3 },
    confidence: 0.95,
    temperature: 1,
    topP: 0.95,
    maxNewTokens: 12,
    earlyStop: false,
    ...changes,
  };
}
