/**
 * Compute accounting in floating-point operations; a multiply and an add count as two. Counted are
 * the matrix products (projections, attention scores and their sums, MLPs, patch embedding, merger,
 * LM head), as torch's FlopCounterMode does; norms, activations, rotary embedding and softmax are
 * under one per cent and are left out. Causal attention is counted in full.
 */
import type { ComputeResult, CostModel, StageFlops } from '../shared/types';

/** What a vision transformer's cost depends on. */
export interface VisionCostModel {
  /** Values of one patch, e.g. 3·2·14·14 = 1176. */
  patchSize: number;
  hiddenSize: number;
  layers: number;
  heads: number;
  intermediateSize: number;
  /** Matrices of one MLP: 3 where it is gated, else 2. */
  mlpMatrices: 2 | 3;
  /** Patches along one side of a spatial-merge group. */
  mergeSide: number;
  /** How many of the layers attend within windows only, and a window's side in patches. */
  windowLayers: number;
  windowSide: number;
  /** [inputs, outputs] of each matrix that turns a merge group into a visual token. */
  merger: [number, number][];
}

/**
 * The vision encoder's operations.
 * @param gridThw one [frames, rows, columns] in patches for each image; frames (or tiles) attend
 *   to themselves only.
 */
export function visionFlops(vision: VisionCostModel, gridThw: [number, number, number][]): number {
  const { hiddenSize, intermediateSize, layers, windowLayers, windowSide } = vision;
  const patchFlops =
    2 * vision.patchSize * hiddenSize +
    layers * 2 * (4 * hiddenSize ** 2 + vision.mlpMatrices * hiddenSize * intermediateSize);
  const groupFlops = vision.merger.reduce(
    (sum, [inputs, outputs]) => sum + 2 * inputs * outputs,
    0,
  );

  let total = 0;
  for (const [frames, rows, columns] of gridThw) {
    const patches = rows * columns;
    // Σ over windows of length², a window being cut off at the right and lower edge.
    const windowPairs =
      windowLayers && sumOfSquaredParts(rows, windowSide) * sumOfSquaredParts(columns, windowSide);
    const attentionPairs = (layers - windowLayers) * patches ** 2 + windowLayers * windowPairs;
    total +=
      frames *
      (patches * patchFlops +
        4 * hiddenSize * attentionPairs +
        (patches / vision.mergeSide ** 2) * groupFlops);
  }
  return total;
}

/**
 * One forward pass over a prompt of `tokens` tokens, with the logits of its last position only.
 */
export function prefillFlops(cost: CostModel, tokens: number): number {
  return (
    tokens * linearFlops(cost) +
    attentionFlops(cost, tokens * tokens) +
    2 * cost.hiddenSize * cost.vocabularySize
  );
}

/**
 * One rollout after its prefill. The prefill's logits give the first token, so n tokens take n−1
 * steps, each with its LM head.
 * @param promptTokens length of the (pruned) prompt
 * @param generatedTokens tokens sampled, the end-of-turn token included
 */
export function decodeFlops(
  cost: CostModel,
  promptTokens: number,
  generatedTokens: number,
): number {
  const steps = Math.max(generatedTokens - 1, 0);
  // Step i attends to the prompt and to the i tokens fed so far.
  const attended = steps * promptTokens + (steps * (steps + 1)) / 2;
  return (
    steps * (linearFlops(cost) + 2 * cost.hiddenSize * cost.vocabularySize) +
    attentionFlops(cost, attended)
  );
}

/** Bytes of the keys and values of `tokens` tokens in all layers. */
export function kvCacheBytes(cost: CostModel, tokens: number): number {
  return 2 * attentionLayers(cost) * cost.kvHeads * cost.headDim * cost.kvElementBytes * tokens;
}

/**
 * The cost of a run and of vanilla (ρ = 0, K = 1) on the same query. KV bytes count the shared prompt
 * once and each rollout's own tokens. The engine calls this with what it measured, the panel with what
 * a slider would give.
 */
export function computeCost(query: {
  cost: CostModel;
  visionFlops: number;
  /** Prompt tokens that are not visual. */
  textTokens: number;
  visualTokens: number;
  keptTokens: number;
  /** Tokens sampled in each rollout, end-of-turn included. */
  rolloutTokens: number[];
  vanillaAnswerTokens: { tokens: number; source: ComputeResult['vanillaSource'] };
}): ComputeResult {
  const { cost, textTokens, visualTokens, keptTokens, rolloutTokens, vanillaAnswerTokens } = query;
  const prompt = textTokens + keptTokens;
  const vanillaPrompt = textTokens + visualTokens;
  const run: StageFlops = {
    vision: query.visionFlops,
    prefill: prefillFlops(cost, prompt),
    decode: sum(rolloutTokens.map((tokens) => decodeFlops(cost, prompt, tokens))),
  };
  const vanilla: StageFlops = {
    vision: query.visionFlops,
    prefill: prefillFlops(cost, vanillaPrompt),
    decode: decodeFlops(cost, vanillaPrompt, vanillaAnswerTokens.tokens),
  };
  const language = run.prefill + run.decode;
  const vanillaLanguage = vanilla.prefill + vanilla.decode;
  return {
    run,
    vanilla,
    vanillaSource: vanillaAnswerTokens.source,
    saved: 1 - language / vanillaLanguage,
    savedWithVision: 1 - (run.vision + language) / (vanilla.vision + vanillaLanguage),
    kvBytes: kvCacheBytes(cost, prompt + sum(rolloutTokens)),
    vanillaKvBytes: kvCacheBytes(cost, vanillaPrompt + vanillaAnswerTokens.tokens),
    promptTokens: { text: textTokens, visual: keptTokens },
  };
}

/** Values of all decoder layers' matrices: projections and gated MLPs. */
export function layerParameters(cost: CostModel): number {
  const { hiddenSize, headDim, heads, kvHeads, intermediateSize, convolutionLayers = 0 } = cost;
  const attention = 2 * hiddenSize * headDim * (heads + kvHeads);
  const convolution = 4 * hiddenSize ** 2; // two gates and the input, and the way out
  const mlp = 3 * hiddenSize * intermediateSize;
  return attentionLayers(cost) * attention + convolutionLayers * convolution + cost.layers * mlp;
}

/** One token through all decoder layers, without attention scores and sums. */
function linearFlops(cost: CostModel): number {
  return 2 * layerParameters(cost);
}

/** Scores and weighted sums for `pairs` (query, key) pairs in all layers. */
function attentionFlops(cost: CostModel, pairs: number): number {
  return attentionLayers(cost) * 4 * cost.heads * cost.headDim * pairs;
}

function attentionLayers({ layers, convolutionLayers = 0 }: CostModel): number {
  return layers - convolutionLayers;
}

/** `length` cut into parts of `part` (the last one shorter): the sum of their squares. */
function sumOfSquaredParts(length: number, part: number): number {
  return Math.floor(length / part) * part ** 2 + (length % part) ** 2;
}

function sum(values: number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
