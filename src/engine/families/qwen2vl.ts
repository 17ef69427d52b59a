import { Tensor } from 'onnxruntime-node';
import type { VisionCostModel } from '../../avis/compute';
import { AvisError } from '../../shared/errors';
import type { CostModel } from '../../shared/types';
import type { Checkpoint } from '../checkpoint';
import type { RgbImage } from '../image';
import type { ConfigReader } from '../json';
import { resample, type ResampleFilter } from '../resample';
import { textCost, textParameters, visionParameters } from './costs';
import type {
  Family,
  ImageLayout,
  ImageSize,
  KeyTokens,
  PreparedImage,
  PromptPositions,
} from './family';
import { normalizationTable, resampleFilterOf, roundHalfEven } from './pixels';
import { replacePlaceholders } from './placeholders';

/**
 * Qwen2-VL, Qwen2.5-VL and Qwen3-VL (whose public exports leave DeepStack out): one grid of patches an
 * image, merged 2 × 2 into visual tokens, M-RoPE positions. Sources: transformers
 * `image_processing_qwen2_vl.py`, `modeling_qwen2_5_vl.py` (`get_rope_index`).
 */
export class Qwen2Vl implements Family {
  readonly imageTokenId: number;
  readonly cost: CostModel;
  readonly vision: VisionCostModel;
  readonly parameters: number;
  readonly maxPositions: number;
  private readonly imageToken: string;
  private readonly gridInput: string;
  private readonly patchPx: number;
  private readonly mergeSide: number;
  private readonly frames: number;
  private readonly minPixels: number;
  private readonly maxPixels: number;
  private readonly filter: ResampleFilter;
  /** Side of an attention window in visual tokens; 0 where attention is global. */
  private readonly windowTokens: number;
  /** [3][256]: what an 8-bit value of each channel becomes. */
  private readonly normalized: Float32Array[];

  /** @throws {AvisError} 'badModel' naming the file and the key. */
  constructor(checkpoint: Checkpoint) {
    const { config, preprocessor } = checkpoint;
    const { modelType } = checkpoint;
    this.imageTokenId = config.number('image_token_id');
    this.imageToken = '<|image_pad|>';
    this.gridInput = modelType === 'qwen2_vl' ? 'grid_thw' : 'image_grid_thw';
    this.patchPx = preprocessor.number('patch_size', modelType === 'qwen3_vl' ? 16 : 14);
    this.mergeSide = preprocessor.number('merge_size', 2);
    this.frames = preprocessor.number('temporal_patch_size', 2);
    const size = preprocessor.section('size');
    this.minPixels = preprocessor.number('min_pixels', size.number('shortest_edge', 3136));
    this.maxPixels = preprocessor.number('max_pixels', size.number('longest_edge', 1_003_520));
    this.filter = resampleFilterOf(preprocessor, 'bicubic');
    this.normalized = normalizationTable(preprocessor);

    // Older exports keep the language model's values at the top level.
    const text = config.has('text_config') ? config.section('text_config') : config;
    this.maxPositions = text.number('max_position_embeddings', 32_768);
    this.cost = textCost(text);
    this.vision = visionCost(config.section('vision_config'), this.cost.hiddenSize, modelType);
    this.windowTokens = Math.floor(this.vision.windowSide / this.mergeSide);
    const tied = text.boolean('tie_word_embeddings', config.boolean('tie_word_embeddings', false));
    this.parameters = textParameters(this.cost, tied) + visionParameters(this.vision);
  }

  measureImage(width: number, height: number): ImageSize {
    const { patchPx, mergeSide, minPixels, maxPixels } = this;
    const factor = patchPx * mergeSide;
    const resized = smartResize(height, width, factor, minPixels, maxPixels);
    const [rows, columns] = resized.map((px) => px / patchPx) as [number, number];
    return { gridThw: [1, rows, columns], visualTokens: (rows * columns) / mergeSide ** 2 };
  }

  prepareImage(image: RgbImage): PreparedImage {
    const { patchPx, mergeSide } = this;
    const { gridThw, visualTokens } = this.measureImage(image.width, image.height);
    const [, rows, columns] = gridThw;
    const width = columns * patchPx;
    const resized = resample(image, width, rows * patchPx, this.filter);
    const tokenRows = rows / mergeSide;
    const tokenColumns = columns / mergeSide;
    const values = this.patchify(resized.data, width, rows, columns);
    return {
      feeds: {
        pixel_values: new Tensor('float32', values, [
          rows * columns,
          values.length / (rows * columns),
        ]),
        [this.gridInput]: new Tensor(
          'int64',
          BigInt64Array.of(1n, BigInt(rows), BigInt(columns)),
          [1, 3],
        ),
      },
      gridThw,
      tokenGrid: [tokenRows, tokenColumns],
      visualTokens,
      regions: [
        {
          kind: 'image',
          rows: tokenRows,
          columns: tokenColumns,
          firstToken: 0,
          left: 0,
          top: 0,
          width: 1,
          height: 1,
        },
      ],
    };
  }

  expandImages(prompt: string, images: readonly ImageLayout[]): string {
    const texts = images.map((image) => this.imageToken.repeat(image.visualTokens));
    return replacePlaceholders(prompt, this.imageToken, texts);
  }

  /**
   * Patches come in merge groups. Qwen2.5-VL orders the groups window by window, windows and the groups
   * in them in raster order, windows at the right and lower edge being cut off (`get_window_index`).
   */
  keyTokens({ tokenGrid: [rows, columns] }: PreparedImage): KeyTokens {
    const groupPatches = this.mergeSide ** 2;
    const side = this.windowTokens || Math.max(rows, columns);
    const tokenOf = new Int32Array(rows * columns * groupPatches);
    let o = 0;
    for (let top = 0; top < rows; top += side) {
      for (let left = 0; left < columns; left += side) {
        for (let r = top; r < Math.min(top + side, rows); r++) {
          for (let c = left; c < Math.min(left + side, columns); c++, o += groupPatches) {
            tokenOf.fill(r * columns + c, o, o + groupPatches);
          }
        }
      }
    }
    return { sequences: 1, tokenOf };
  }

  /**
   * M-RoPE: text counts up on all three axes; an image's tokens share one time step and count rows and
   * columns from there; what follows goes on after the largest position so far.
   */
  positions(promptIds: readonly number[], images: readonly ImageLayout[]): PromptPositions {
    const length = promptIds.length;
    const time = new Int32Array(length);
    const row = new Int32Array(length);
    const column = new Int32Array(length);
    let next = 0;
    let image = 0;
    for (let i = 0; i < length;) {
      if (promptIds[i] !== this.imageTokenId) {
        time[i] = row[i] = column[i] = next++;
        i++;
        continue;
      }
      const [rows, columns] = images[image++]!.tokenGrid;
      for (let r = 0; r < rows; r++) {
        for (let c = 0; c < columns; c++, i++) {
          time[i] = next;
          row[i] = next + r;
          column[i] = next + c;
        }
      }
      next += Math.max(rows, columns);
    }
    return { axes: [time, row, column], next };
  }

  /**
   * [rows · columns, 3 · frames · patch · patch] in merge-group order, the still image repeated for
   * each frame of a patch.
   */
  private patchify(
    rgb: Uint8Array,
    width: number,
    rows: number,
    columns: number,
  ): Float32Array<ArrayBuffer> {
    const { patchPx, mergeSide, frames, normalized } = this;
    const area = patchPx * patchPx;
    const out = new Float32Array(rows * columns * 3 * frames * area);
    let o = 0;
    const emitPatch = (top: number, left: number) => {
      for (let channel = 0; channel < 3; channel++) {
        const table = normalized[channel]!;
        const start = o;
        for (let y = 0; y < patchPx; y++) {
          let p = ((top + y) * width + left) * 3 + channel;
          for (let x = 0; x < patchPx; x++, p += 3) out[o++] = table[rgb[p]!]!;
        }
        for (let frame = 1; frame < frames; frame++, o += area) {
          out.copyWithin(o, start, start + area);
        }
      }
    };
    for (let groupRow = 0; groupRow < rows; groupRow += mergeSide) {
      for (let groupColumn = 0; groupColumn < columns; groupColumn += mergeSide) {
        for (let r = groupRow; r < groupRow + mergeSide; r++) {
          for (let c = groupColumn; c < groupColumn + mergeSide; c++) {
            emitPatch(r * patchPx, c * patchPx);
          }
        }
      }
    }
    return out;
  }
}

/**
 * Height and width as multiples of `factor` whose product lies within the bounds, the aspect ratio kept
 * as well as possible.
 * @throws {AvisError} 'badInput' for an aspect ratio over 200, as the reference does.
 */
export function smartResize(
  height: number,
  width: number,
  factor: number,
  minPixels: number,
  maxPixels: number,
): [number, number] {
  if (Math.max(height, width) / Math.min(height, width) > 200) {
    throw new AvisError(
      'badInput',
      `The image is ${width} × ${height}; this model takes aspect ratios up to 200. Crop it first.`,
    );
  }
  const rows = roundHalfEven(height / factor) * factor;
  const columns = roundHalfEven(width / factor) * factor;
  if (rows * columns > maxPixels) {
    const beta = Math.sqrt((height * width) / maxPixels);
    return [
      Math.max(factor, Math.floor(height / beta / factor) * factor),
      Math.max(factor, Math.floor(width / beta / factor) * factor),
    ];
  }
  if (rows * columns < minPixels) {
    const beta = Math.sqrt(minPixels / (height * width));
    return [
      Math.ceil((height * beta) / factor) * factor,
      Math.ceil((width * beta) / factor) * factor,
    ];
  }
  return [rows, columns];
}

function visionCost(vision: ConfigReader, outputSize: number, modelType: string): VisionCostModel {
  // Qwen2-VL names its sizes otherwise; Qwen2.5-VL alone has windows and a gated MLP.
  const is2 = modelType === 'qwen2_vl';
  const is25 = modelType === 'qwen2_5_vl';
  const hiddenSize = vision.number(is2 ? 'embed_dim' : 'hidden_size');
  const layers = vision.number('depth');
  const patchPx = vision.number('patch_size', 14);
  const mergeSide = vision.number('spatial_merge_size', 2);
  const mergedSize = hiddenSize * mergeSide ** 2;
  return {
    patchSize: 3 * vision.number('temporal_patch_size', 2) * patchPx ** 2,
    hiddenSize,
    layers,
    heads: vision.number('num_heads', 16),
    intermediateSize: is2
      ? hiddenSize * vision.number('mlp_ratio', 4)
      : vision.number('intermediate_size'),
    mlpMatrices: is25 ? 3 : 2,
    mergeSide,
    windowLayers: is25 ? layers - vision.numbers('fullatt_block_indexes').length : 0,
    windowSide: is25 ? Math.floor(vision.number('window_size') / patchPx) : 0,
    merger: [
      [mergedSize, mergedSize],
      [mergedSize, outputSize],
    ],
  };
}
