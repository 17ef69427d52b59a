import { Tensor } from 'onnxruntime-node';
import type { VisionCostModel } from '../../avis/compute';
import type { CostModel, VisualRegion } from '../../shared/types';
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
import { normalizationTable, resampleFilterOf } from './pixels';
import { replacePlaceholders } from './placeholders';

/** Longest side that the processors accept at all. */
const maxSidePx = 4096;

/**
 * SmolVLM, SmolVLM2 and Idefics3: the image is cut into square tiles, and the whole of it comes once
 * more as a last tile, the thumbnail; pixel shuffle folds `scale_factor`² patches into a token. Sources:
 * transformers `image_processing_smolvlm.py`, `processing_smolvlm.py`, `modeling_smolvlm.py`.
 */
export class Idefics3 implements Family {
  readonly imageTokenId: number;
  readonly cost: CostModel;
  readonly vision: VisionCostModel;
  readonly parameters: number;
  readonly maxPositions: number;
  private readonly imageToken = '<image>';
  private readonly tilePx: number;
  private readonly longestEdgePx: number;
  private readonly splits: boolean;
  /** Patches and visual tokens along one side of a tile. */
  private readonly patchSide: number;
  private readonly tokenSide: number;
  private readonly filter: ResampleFilter;
  private readonly normalized: Float32Array[];

  /** @throws {AvisError} 'badModel' naming the file and the key. */
  constructor(checkpoint: Checkpoint) {
    const { config, preprocessor } = checkpoint;
    this.imageTokenId = config.number('image_token_id');
    this.tilePx = preprocessor.section('max_image_size').number('longest_edge');
    this.longestEdgePx = preprocessor.section('size').number('longest_edge');
    this.splits = preprocessor.boolean('do_image_splitting', true);
    this.filter = resampleFilterOf(preprocessor, 'lanczos');
    this.normalized = normalizationTable(preprocessor);

    const text = config.section('text_config');
    const vision = config.section('vision_config');
    const scale = config.number('scale_factor', 2);
    const patchPx = vision.number('patch_size');
    this.patchSide = Math.floor(this.tilePx / patchPx);
    this.tokenSide = Math.floor(this.patchSide / scale);
    this.maxPositions = text.number('max_position_embeddings');
    this.cost = textCost(text);
    this.vision = visionCost(vision, scale, this.cost.hiddenSize);
    const tied = config.boolean('tie_word_embeddings', false);
    this.parameters = textParameters(this.cost, tied) + visionParameters(this.vision);
  }

  measureImage(width: number, height: number): ImageSize {
    const { patchSide, tokenSide } = this;
    const { rows, columns } = this.tileGrid(width, height);
    const tiles = (rows * columns > 1 ? rows * columns : 0) + 1;
    return { gridThw: [tiles, patchSide, patchSide], visualTokens: tiles * tokenSide ** 2 };
  }

  prepareImage(image: RgbImage): PreparedImage {
    const { tilePx, tokenSide } = this;
    const { gridThw, visualTokens } = this.measureImage(image.width, image.height);
    const { resized, rows, columns } = this.resizeToTiles(image);
    const [tiles] = gridThw;
    const split = tiles > 1;
    const thumbnail = resample(resized, tilePx, tilePx, this.filter);
    const values = new Float32Array(tiles * 3 * tilePx ** 2);
    const regions: VisualRegion[] = [];
    const square = { rows: tokenSide, columns: tokenSide };
    for (let tile = 0; tile < tiles - 1; tile++) {
      const row = Math.floor(tile / columns);
      const column = tile % columns;
      this.writeTile(values, tile, resized, row * tilePx, column * tilePx);
      regions.push({
        kind: 'tile',
        ...square,
        firstToken: tile * tokenSide ** 2,
        left: column / columns,
        top: row / rows,
        width: 1 / columns,
        height: 1 / rows,
      });
    }
    this.writeTile(values, tiles - 1, thumbnail, 0, 0);
    regions.push({
      kind: split ? 'thumbnail' : 'image',
      ...square,
      firstToken: (tiles - 1) * tokenSide ** 2,
      left: 0,
      top: 0,
      width: 1,
      height: 1,
    });
    return {
      feeds: {
        pixel_values: new Tensor('float32', values, [1, tiles, 3, tilePx, tilePx]),
        pixel_attention_mask: new Tensor('bool', new Uint8Array(tiles * tilePx ** 2).fill(1), [
          1,
          tiles,
          tilePx,
          tilePx,
        ]),
      },
      gridThw,
      tokenGrid: [rows * tokenSide, columns * tokenSide],
      visualTokens,
      regions,
    };
  }

  expandImages(prompt: string, images: readonly ImageLayout[]): string {
    const texts = images.map((image) => this.imageText(image));
    return replacePlaceholders(prompt, this.imageToken, texts);
  }

  /** Pixel shuffle folds squares of patches; a tile's patches are in raster order. */
  keyTokens({ gridThw: [tiles, patchSide] }: PreparedImage): KeyTokens {
    const { tokenSide } = this;
    const scale = patchSide / tokenSide;
    const tokenOf = new Int32Array(tiles * patchSide ** 2);
    for (let i = 0; i < tokenOf.length; i++) {
      const tile = Math.floor(i / patchSide ** 2);
      const row = Math.floor((i % patchSide ** 2) / patchSide / scale);
      const column = Math.floor((i % patchSide) / scale);
      tokenOf[i] = (tile * tokenSide + row) * tokenSide + column;
    }
    return { sequences: tiles, tokenOf };
  }

  positions(promptIds: readonly number[]): PromptPositions {
    return { axes: [Int32Array.from(promptIds, (_, i) => i)], next: promptIds.length };
  }

  /** Resized so that the longest side fills `size`, then to whole tiles. */
  private resizeToTiles(image: RgbImage): { resized: RgbImage; rows: number; columns: number } {
    const { tilePx, filter } = this;
    const [height, width] = scaleLongestSide(image.height, image.width, this.longestEdgePx);
    const first = resample(image, width, height, filter);
    const { rows, columns } = this.tileGrid(image.width, image.height);
    const resized = this.splits ? resample(first, columns * tilePx, rows * tilePx, filter) : first;
    return { resized, rows, columns };
  }

  private tileGrid(imageWidth: number, imageHeight: number): { rows: number; columns: number } {
    if (!this.splits) return { rows: 1, columns: 1 };
    const [height, width] = scaleLongestSide(imageHeight, imageWidth, this.longestEdgePx);
    const { tilePx } = this;
    const tiles = (px: number) => Math.ceil(px / tilePx);
    // As the reference does: the longer side first, the other from the new aspect ratio.
    const aspect = width / height;
    if (width >= height) {
      const columns = tiles(width);
      return { rows: tiles(Math.trunc((columns * tilePx) / aspect)), columns };
    }
    const rows = tiles(height);
    return { rows, columns: tiles(Math.trunc(rows * tilePx * aspect)) };
  }

  private writeTile(
    values: Float32Array,
    tile: number,
    image: RgbImage,
    top: number,
    left: number,
  ): void {
    const { tilePx, normalized } = this;
    let o = tile * 3 * tilePx ** 2;
    for (let channel = 0; channel < 3; channel++) {
      const table = normalized[channel]!;
      for (let y = 0; y < tilePx; y++) {
        let p = ((top + y) * image.width + left) * 3 + channel;
        for (let x = 0; x < tilePx; x++, p += 3) values[o++] = table[image.data[p]!]!;
      }
    }
  }

  private imageText({ regions }: ImageLayout): string {
    const tokens = this.imageToken.repeat(this.tokenSide ** 2);
    const whole = `<fake_token_around_image><global-img>${tokens}<fake_token_around_image>`;
    const tiles = regions.filter(({ kind }) => kind === 'tile');
    if (tiles.length === 0) return whole;
    const columns = tiles.filter(({ top }) => top === 0).length;
    const rows = tiles.length / columns;
    const lines = Array.from({ length: rows }, (_, r) =>
      Array.from(
        { length: columns },
        (_, c) => `<fake_token_around_image><row_${r + 1}_col_${c + 1}>${tokens}`,
      ).join(''),
    );
    return `${lines.join('\n')}\n\n${whole}`;
  }
}

/** The longest side becomes `longestPx`, the other keeps the aspect ratio and is made even. */
function scaleLongestSide(height: number, width: number, longestPx: number): [number, number] {
  const aspect = width / height;
  const other = Math.trunc(width >= height ? longestPx / aspect : longestPx * aspect);
  const even = Math.max(other + (other % 2), 1);
  return boundSides(width >= height ? [even, longestPx] : [longestPx, even]);
}

function boundSides([height, width]: [number, number]): [number, number] {
  if (Math.max(height, width) <= maxSidePx) return [height, width];
  const aspect = width / height;
  const other = Math.max(Math.trunc(width >= height ? maxSidePx / aspect : maxSidePx * aspect), 1);
  return width >= height ? [other, maxSidePx] : [maxSidePx, other];
}

function visionCost(vision: ConfigReader, scale: number, outputSize: number): VisionCostModel {
  const hiddenSize = vision.number('hidden_size');
  return {
    patchSize: 3 * vision.number('patch_size') ** 2,
    hiddenSize,
    layers: vision.number('num_hidden_layers', 12),
    heads: vision.number('num_attention_heads', 16),
    intermediateSize: vision.number('intermediate_size'),
    mlpMatrices: 2,
    mergeSide: scale,
    windowLayers: 0,
    windowSide: 0,
    merger: [[hiddenSize * scale ** 2, outputSize]],
  };
}
