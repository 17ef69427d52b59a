import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import {
  computeCost,
  decodeFlops,
  kvCacheBytes,
  prefillFlops,
  visionFlops,
  type VisionCostModel,
} from '../../../src/avis/compute';
import type { CostModel } from '../../../src/shared/types';

/** Counted by torch's FlopCounterMode; see test/fixtures/makeFlops.py. */
interface Counted {
  text: Record<
    | 'hidden_size'
    | 'num_hidden_layers'
    | 'num_attention_heads'
    | 'num_key_value_heads'
    | 'intermediate_size'
    | 'vocab_size'
    | 'head_dim',
    number
  >;
  vision: Record<
    | 'hidden_size'
    | 'depth'
    | 'num_heads'
    | 'intermediate_size'
    | 'out_hidden_size'
    | 'patch_size'
    | 'spatial_merge_size'
    | 'temporal_patch_size'
    | 'window_size',
    number
  > & { fullatt_block_indexes: number[] };
  visionFlops: { grid: [number, number, number]; flops: number }[];
  prefillFlops: { tokens: number; flops: number }[];
  stepFlops: { past: number; flops: number }[];
}

const fixture = JSON.parse(
  readFileSync(new URL('../../fixtures/flops.json', import.meta.url), 'utf8'),
) as Record<string, Counted>;

function costOf({ text }: Counted): CostModel {
  return {
    hiddenSize: text.hidden_size,
    layers: text.num_hidden_layers,
    heads: text.num_attention_heads,
    kvHeads: text.num_key_value_heads,
    headDim: text.head_dim,
    intermediateSize: text.intermediate_size,
    vocabularySize: text.vocab_size,
    kvElementBytes: 2,
  };
}

function visionOf({ vision }: Counted): VisionCostModel {
  const merged = vision.hidden_size * vision.spatial_merge_size ** 2;
  return {
    patchSize: 3 * vision.temporal_patch_size * vision.patch_size ** 2,
    hiddenSize: vision.hidden_size,
    layers: vision.depth,
    heads: vision.num_heads,
    intermediateSize: vision.intermediate_size,
    mlpMatrices: 3,
    mergeSide: vision.spatial_merge_size,
    windowLayers: vision.depth - vision.fullatt_block_indexes.length,
    windowSide: vision.window_size / vision.patch_size,
    merger: [
      [merged, merged],
      [merged, vision.out_hidden_size],
    ],
  };
}

for (const [name, counted] of Object.entries(fixture)) {
  const cost = costOf(counted);
  describe(`compute accounting of ${name}, against torch's FlopCounterMode`, () => {
    for (const { grid, flops } of counted.visionFlops) {
      it(`vision encoder on a grid of ${grid.join('×')} patches`, () => {
        assert.equal(visionFlops(visionOf(counted), [grid]), flops);
      });
    }

    it('several images cost the sum', () => {
      const grids = counted.visionFlops.map(({ grid }) => grid);
      const total = counted.visionFlops.reduce((sum, { flops }) => sum + flops, 0);
      assert.equal(visionFlops(visionOf(counted), grids), total);
    });

    for (const { tokens, flops } of counted.prefillFlops) {
      it(`prefill of ${tokens} tokens`, () => assert.equal(prefillFlops(cost, tokens), flops));
    }

    for (const { past, flops } of counted.stepFlops) {
      it(`one decoding step after ${past} tokens`, () => {
        // The second sampled token is the first that takes a step.
        assert.equal(decodeFlops(cost, past, 2), flops);
      });
    }

    it('a rollout is the sum of its steps', () => {
      let steps = 0;
      for (let fed = 0; fed < 9; fed++) steps += decodeFlops(cost, 36 + fed, 2);
      assert.equal(decodeFlops(cost, 36, 10), steps);
      assert.equal(decodeFlops(cost, 36, 1), 0);
      assert.equal(decodeFlops(cost, 36, 0), 0);
    });
  });
}

describe('computeCost', () => {
  const cost = costOf(fixture['7B']!);
  const query = {
    cost,
    visionFlops: 1e12,
    textTokens: 40,
    visualTokens: 400,
    keptTokens: 100,
    rolloutTokens: [50, 60, 70],
    vanillaAnswerTokens: { tokens: 60, source: 'estimated' },
  } as const;

  it('puts the stages of run and vanilla together', () => {
    const result = computeCost({ ...query, rolloutTokens: [50, 60, 70] });
    assert.equal(result.run.vision, 1e12);
    assert.equal(result.run.prefill, prefillFlops(cost, 140));
    assert.equal(
      result.run.decode,
      decodeFlops(cost, 140, 50) + decodeFlops(cost, 140, 60) + decodeFlops(cost, 140, 70),
    );
    assert.equal(result.vanilla.prefill, prefillFlops(cost, 440));
    assert.equal(result.vanilla.decode, decodeFlops(cost, 440, 60));
    const run = result.run.prefill + result.run.decode;
    const vanilla = result.vanilla.prefill + result.vanilla.decode;
    assert.equal(result.saved, 1 - run / vanilla);
    assert.equal(result.savedWithVision, 1 - (1e12 + run) / (1e12 + vanilla));
    assert.equal(result.vanillaSource, 'estimated');
    assert.deepEqual(result.promptTokens, { text: 40, visual: 100 });
  });

  it('saves nothing when the run is vanilla', () => {
    const result = computeCost({
      ...query,
      keptTokens: 400,
      rolloutTokens: [60],
      vanillaAnswerTokens: { tokens: 60, source: 'measured' },
    });
    assert.equal(result.saved, 0);
    assert.equal(result.savedWithVision, 0);
    assert.equal(result.kvBytes, result.vanillaKvBytes);
  });

  it('counts the KV cache of the shared prompt once', () => {
    // 7B: 28 layers × (keys + values) × 4 heads × 128 × 2 bytes = 57,344 bytes a token.
    assert.equal(kvCacheBytes(cost, 1), 57_344);
    const result = computeCost({ ...query, rolloutTokens: [50, 60, 70] });
    assert.equal(result.kvBytes, 57_344 * (140 + 180));
    assert.equal(result.vanillaKvBytes, 57_344 * (440 + 60));
  });
});
