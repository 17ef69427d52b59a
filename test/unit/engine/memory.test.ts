import { doesNotThrow, ok, throws } from 'node:assert/strict';
import { predictMemory, requireMemory, usableMemory } from '../../../src/engine/memory';

/** Qwen2.5-VL-3B. */
const cost = {
  hiddenSize: 2048,
  layers: 36,
  heads: 16,
  kvHeads: 2,
  headDim: 128,
  intermediateSize: 11_008,
  vocabularySize: 151_936,
  kvElementBytes: 4,
};

describe('memory', () => {
  it('is predicted to be more than the files', () => {
    ok(predictMemory(3e9, cost) > 3.5e9);
    ok(predictMemory(3e9, cost) > predictMemory(2e9, cost));
  });

  it('refuses a model that cannot fit, with the figures', () => {
    doesNotThrow(() => requireMemory('small', 10e6, cost));
    throws(() => requireMemory('large', 2 * usableMemory(), cost), {
      code: 'outOfMemory',
      message: /^large needs about [\d.]+ GB of memory and this machine has [\d.]+ GB\. Choose/,
    });
  });
});
