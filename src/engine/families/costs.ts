import { layerParameters, type VisionCostModel } from '../../avis/compute';
import type { CostModel } from '../../shared/types';
import type { ConfigReader } from '../json';

/** Of a Llama-shaped language model, from its part of config.json. */
export function textCost(
  text: ConfigReader,
  intermediateSize = text.number('intermediate_size'),
): CostModel {
  const hiddenSize = text.number('hidden_size');
  const heads = text.number('num_attention_heads');
  return {
    hiddenSize,
    layers: text.number('num_hidden_layers'),
    heads,
    kvHeads: text.number('num_key_value_heads', heads),
    headDim: text.number('head_dim', hiddenSize / heads),
    intermediateSize,
    vocabularySize: text.number('vocab_size'),
    kvElementBytes: 4, // set from the decoder graph once it is loaded
  };
}

/** Matrices only; norms and biases are under 0.1 %. */
export function textParameters(cost: CostModel, tied: boolean): number {
  return layerParameters(cost) + (tied ? 1 : 2) * cost.vocabularySize * cost.hiddenSize;
}

export function visionParameters(vision: VisionCostModel): number {
  const { hiddenSize, intermediateSize, mlpMatrices } = vision;
  const block = 4 * hiddenSize ** 2 + mlpMatrices * hiddenSize * intermediateSize;
  const merger = vision.merger.reduce((sum, [from, to]) => sum + from * to, 0);
  return vision.patchSize * hiddenSize + vision.layers * block + merger;
}
