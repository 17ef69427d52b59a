import { doesNotThrow, ok, strictEqual, throws } from 'node:assert/strict';
import type { VisionCostModel } from '../../../src/avis/compute';
import type { Family } from '../../../src/engine/families/family';
import {
  plannedRunBytes,
  requireMemory,
  tilesPerRun,
  usableMemory,
} from '../../../src/engine/memory';
import { predictMemory } from '../../../src/shared/memory';

const qwenVision = { hiddenSize: 1280, heads: 16 } as VisionCostModel;
const smolVision = { hiddenSize: 768, heads: 12 } as VisionCostModel;

/** Qwen2.5-VL-3B. */
const qwen = {
  cost: {
    hiddenSize: 2048,
    layers: 36,
    heads: 16,
    kvHeads: 2,
    headDim: 128,
    intermediateSize: 11_008,
    vocabularySize: 151_936,
    kvElementBytes: 4,
  },
  vision: qwenVision,
  measureImage: () => ({ gridThw: [1, 32, 32], visualTokens: 256 }),
} as unknown as Family;

/** SmolVLM-256M, which cuts a square into 16 tiles and a thumbnail. */
const smol = {
  cost: {
    hiddenSize: 576,
    layers: 30,
    heads: 9,
    kvHeads: 3,
    headDim: 64,
    intermediateSize: 1536,
    vocabularySize: 49_280,
    kvElementBytes: 4,
  },
  vision: smolVision,
  measureImage: () => ({ gridThw: [17, 32, 32], visualTokens: 1088 }),
} as unknown as Family;

describe('memory', () => {
  // Measured with test/bench/realShapes.ts on folders of makeRealShapes.py.
  for (const { name, family, graphBytes, measuredBytes } of [
    { name: 'SmolVLM-256M', family: smol, graphBytes: 192e6, measuredBytes: 1.81e9 },
    { name: 'Qwen2.5-VL-3B', family: qwen, graphBytes: 2.568e9, measuredBytes: 3.83e9 },
  ]) {
    it(`is predicted within 15 % of what ${name} took`, () => {
      const ratio = predictMemory(graphBytes, plannedRunBytes(family)) / measuredBytes;
      ok(ratio > 0.85 && ratio < 1.15, `${ratio}`);
    });
  }

  it('bounds how many tiles are encoded side by side', () => {
    strictEqual(tilesPerRun(smolVision, 1024), 2);
    strictEqual(tilesPerRun(smolVision, 256), 18);
    strictEqual(tilesPerRun(qwenVision, 10_000), 1);
  });

  it('refuses a model that cannot fit, with the figures', () => {
    doesNotThrow(() => requireMemory('small', 10e6, qwen));
    throws(() => requireMemory('large', 2 * usableMemory(), qwen), {
      code: 'outOfMemory',
      message: /^large needs about [\d.]+ GB of memory and this machine has [\d.]+ GB\. Choose/,
    });
  });
});
