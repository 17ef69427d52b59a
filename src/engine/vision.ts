import type { Tensor } from 'onnxruntime-node';
import type { VisionCostModel } from '../avis/compute';
import { keyDiversityScores } from '../avis/kdv';
import { AvisError } from '../shared/errors';
import type { ScoreSource, VisualResult } from '../shared/types';
import { yieldToEvents } from './abort';
import type { Family, PreparedImage } from './families/family';
import { splitTiles } from './families/tiles';
import { arrangeKeys, mergeKeys, type TappedGraph } from './keyTap';
import { tilesPerRun } from './memory';
import type { Policy } from './policyFile';
import { checkFinite, type GraphSession } from './session';
import { floatTensor, floatValues } from './tensors';

/** Keys of the last vision block, [heads, tokens, headDim]: post-rotary, merged, in raster order. */
export interface VisualKeys {
  data: Float32Array;
  heads: number;
  tokens: number;
  headDim: number;
}

/** Which output of the vision graph holds the keys and how to lay them out as `VisualKeys`. */
export interface KeySource {
  output: string;
  arrange(keys: Tensor, image: PreparedImage): VisualKeys;
}

/** Keys that were tapped out of a graph (keyTap.ts): of patches, in the graph's own order. */
export function tappedKeys(tapped: TappedGraph, family: Family): KeySource {
  return {
    output: tapped.outputName,
    arrange: (tensor, image) => {
      const { sequences, tokenOf } = family.keyTokens(image);
      const keys = arrangeKeys(floatValues(tensor), tensor.dims, tapped.layout, sequences);
      const data = mergeKeys(keys, tokenOf, image.visualTokens);
      return { data, heads: keys.heads, tokens: image.visualTokens, headDim: keys.headDim };
    },
  };
}

/** Our own exports give the keys ready to use. */
export const readyKeys: KeySource = {
  output: 'visual_keys',
  arrange: (keys) => {
    const [heads = 0, tokens = 0, headDim = 0] = keys.dims;
    return { data: floatValues(keys), heads, tokens, headDim };
  },
};

/** What the vision encoder gives for one image; pruning and questions don't change it. */
export interface VisualFeatures {
  /** [tokens, hidden] */
  features: Float32Array;
  hiddenSize: number;
  scores: Float32Array;
  scoreSource: ScoreSource;
}

/** What one run of the vision graph gives. */
interface EncodedPart {
  features: Float32Array;
  hiddenSize: number;
  keys: VisualKeys | null;
  keysMs: number;
}

export class VisionEncoder {
  runs = 0;
  readonly scoreSource: ScoreSource;

  /** @param keySource null where the graph has no keys: then the merged embeddings stand in (KeyDiff). */
  constructor(
    private readonly graph: GraphSession,
    private readonly keySource: KeySource | null,
    private readonly cost: VisionCostModel,
  ) {
    this.scoreSource = keySource ? 'visionKeys' : 'mergedEmbeddings';
  }

  /** @throws {AvisError} 'badModel' when the graph doesn't take such an image. */
  check(image: PreparedImage): void {
    this.graph.check(this.feedsOf(image));
  }

  /**
   * @param tilesInRun how many tiles go through the graph side by side: memory grows with them. Graphs that
   * quantize activations as they run (int8) take one scale for a run, so there it moves the last digits.
   * @throws {AvisError} 'badModel' for NaN features or keys, or for a wrong number of them; 'canceled'
   * between runs.
   */
  async encode(
    image: PreparedImage,
    signal?: AbortSignal,
    tilesInRun = tilesPerRun(this.cost, image.gridThw[1] * image.gridThw[2]),
  ): Promise<{ visual: VisualFeatures; visionMs: number; kdvMs: number }> {
    const started = performance.now();
    const parts: EncodedPart[] = [];
    let kdvMs = 0;
    for (const part of splitTiles(image, tilesInRun)) {
      if (parts.length > 0) await yieldToEvents(signal);
      const encoded = await this.encodePart(part);
      parts.push(encoded);
      kdvMs += encoded.keysMs;
    }
    this.runs++;
    const encodedAt = performance.now();
    const visionMs = encodedAt - started - kdvMs;

    const { hiddenSize } = parts[0]!;
    const features = joinFeatures(parts.map((part) => part.features));
    const tokens = features.length / hiddenSize;
    const keys = this.keySource
      ? joinKeys(parts.map((part) => part.keys!))
      : { data: features, heads: 1, tokens, headDim: hiddenSize };
    if (tokens !== image.visualTokens || keys.tokens !== tokens) {
      throw new AvisError(
        'badModel',
        `${this.graph.label} gave ${tokens} visual tokens and ${keys.tokens} keys where ${image.visualTokens} were expected. It doesn't belong to this preprocessor_config.json.`,
      );
    }
    const scores = keyDiversityScores(keys.data, keys);
    kdvMs += performance.now() - encodedAt;
    return {
      visual: { features, hiddenSize, scores, scoreSource: this.scoreSource },
      visionMs,
      kdvMs,
    };
  }

  private async encodePart(part: PreparedImage): Promise<EncodedPart> {
    const outputs = await this.graph.run(this.feedsOf(part));
    const started = performance.now();
    const output = outputs['image_features'] ?? Object.values(outputs)[0]!;
    const features = floatValues(output);
    checkFinite(features, 'image_features', this.graph.label);
    const keys = this.keySource && this.keySource.arrange(outputs[this.keySource.output]!, part);
    return {
      features,
      hiddenSize: output.dims.at(-1)!,
      keys,
      keysMs: performance.now() - started,
    };
  }

  /**
   * Exports differ in small things: the grid's name, fp16 pixels, and whether a mask is asked for, which
   * is all ones for one image.
   */
  private feedsOf({ feeds }: PreparedImage): Record<string, Tensor> {
    const { inputs } = this.graph;
    const untaken = Object.keys(feeds).filter((name) => !inputs.has(name));
    const unfed = [...inputs.keys()].filter((name) => !(name in feeds));
    const renamed = untaken.length === 1 && unfed.length === 1;
    const fitted: Record<string, Tensor> = {};
    for (const [name, tensor] of Object.entries(feeds)) {
      const taken = renamed && name === untaken[0] ? unfed[0]! : name;
      const spec = inputs.get(taken);
      if (!spec) continue;
      fitted[taken] =
        spec.type === 'float16' && tensor.type === 'float32'
          ? floatTensor(spec, floatValues(tensor), [...tensor.dims])
          : tensor;
    }
    return fitted;
  }
}

function joinFeatures(parts: Float32Array[]): Float32Array {
  if (parts.length === 1) return parts[0]!;
  const joined = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let o = 0;
  for (const part of parts) {
    joined.set(part, o);
    o += part.length;
  }
  return joined;
}

/** Each part is [heads, its tokens, headDim]. */
function joinKeys(parts: VisualKeys[]): VisualKeys {
  const { heads, headDim } = parts[0]!;
  const tokens = parts.reduce((sum, part) => sum + part.tokens, 0);
  const rows: Float32Array[] = [];
  for (let head = 0; head < heads; head++) {
    for (const part of parts) {
      const size = part.tokens * headDim;
      rows.push(part.data.subarray(head * size, (head + 1) * size));
    }
  }
  return { data: joinFeatures(rows), heads, tokens, headDim };
}

/** Distance of a picture's pooled features from those of the training pictures, in spreads. */
export function familiarityOf(
  visual: VisualFeatures,
  statistics: Policy['familiarity'],
): VisualResult['familiarity'] {
  if (!statistics) return undefined;
  const { features, hiddenSize } = visual;
  const { mean, spread, threshold } = statistics;
  const tokens = features.length / hiddenSize;
  let squares = 0;
  for (let d = 0; d < hiddenSize; d++) {
    let sum = 0;
    for (let i = d; i < features.length; i += hiddenSize) sum += features[i]!;
    squares += ((sum / tokens - mean[d]!) / spread[d]!) ** 2;
  }
  const distance = Math.sqrt(squares / hiddenSize);
  return { distance, threshold, unfamiliar: distance > threshold };
}
