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
import { normalizationTable, resampleFilterOf, roundHalfEven } from './pixels';
import { replacePlaceholders } from './placeholders';

/** A piece of the image that goes through the vision encoder by itself. */
interface Tile {
  image: RgbImage;
  left: number;
  top: number;
  widthPx: number;
  heightPx: number;
  region: Pick<VisualRegion, 'kind' | 'left' | 'top' | 'width' | 'height'>;
}

/**
 * LFM2-VL: a small image is one tile of its own shape, a large one is cut into square tiles and comes
 * once more as a thumbnail; all tiles are padded to one number of patches. Sources: transformers
 * `image_processing_lfm2_vl.py`, `processing_lfm2_vl.py`, `modeling_lfm2_vl.py`.
 */
export class Lfm2Vl implements Family {
  readonly imageTokenId: number;
  readonly cost: CostModel;
  readonly vision: VisionCostModel;
  readonly parameters: number;
  readonly maxPositions: number;
  private readonly imageToken = '<image>';
  private readonly patchPx: number;
  /** Patches along one side of a visual token. */
  private readonly factor: number;
  private readonly tilePx: number;
  private readonly minTokens: number;
  private readonly maxTokens: number;
  private readonly minTiles: number;
  private readonly maxTiles: number;
  private readonly tolerance: number;
  private readonly splits: boolean;
  private readonly hasThumbnail: boolean;
  private readonly filter: ResampleFilter;
  private readonly normalized: Float32Array[];

  /** @throws {AvisError} 'badModel' naming the file and the key. */
  constructor(checkpoint: Checkpoint) {
    const { config, preprocessor } = checkpoint;
    this.imageTokenId = config.number('image_token_id', 396);
    this.patchPx = preprocessor.number('encoder_patch_size', 16);
    this.factor = preprocessor.number('downsample_factor', 2);
    this.tilePx = preprocessor.number('tile_size', 512);
    this.minTokens = preprocessor.number('min_image_tokens', 64);
    this.maxTokens = preprocessor.number('max_image_tokens', 256);
    this.minTiles = preprocessor.number('min_tiles', 2);
    this.maxTiles = preprocessor.number('max_tiles', 10);
    this.tolerance = preprocessor.number('max_pixels_tolerance', 2);
    this.splits =
      preprocessor.boolean('do_image_splitting', true) && (this.minTiles > 1 || this.maxTiles > 1);
    this.hasThumbnail = preprocessor.boolean('use_thumbnail', true);
    this.filter = resampleFilterOf(preprocessor, 'bilinear');
    this.normalized = normalizationTable(preprocessor);

    const text = config.section('text_config');
    this.maxPositions = text.number('max_position_embeddings', 128_000);
    this.cost = languageCost(text);
    this.vision = visionCost(config, this.cost.hiddenSize);
    const tied = text.boolean('tie_embedding', config.boolean('tie_word_embeddings', true));
    this.parameters = textParameters(this.cost, tied) + visionParameters(this.vision);
  }

  measureImage(width: number, height: number): ImageSize {
    const unit = this.patchPx * this.factor;
    const [wholeHeight, wholeWidth] = this.wholeSize(height, width);
    const wholeTokens = (wholeHeight * wholeWidth) / unit ** 2;
    const patches = this.paddedPatches();
    if (!this.splits || !this.isLarge(width, height)) {
      return { gridThw: [1, patches, 1], visualTokens: wholeTokens };
    }
    const [columns, rows] = this.tileGrid(width, height);
    const tiles = rows * columns;
    const hasThumbnail = this.hasThumbnail && tiles > 1;
    return {
      gridThw: [tiles + Number(hasThumbnail), patches, 1],
      visualTokens: tiles * (this.tilePx / unit) ** 2 + (hasThumbnail ? wholeTokens : 0),
    };
  }

  prepareImage(image: RgbImage): PreparedImage {
    const { patchPx } = this;
    const { tiles, rows, columns } = this.cut(image);
    const patchValues = 3 * patchPx ** 2;
    const patches = this.paddedPatches();
    const values = new Float32Array(tiles.length * patches * patchValues);
    const mask = new BigInt64Array(tiles.length * patches);
    const shapes = new BigInt64Array(tiles.length * 2);
    const regions: VisualRegion[] = [];
    let visualTokens = 0;
    tiles.forEach((tile, i) => {
      const [high, wide] = [tile.heightPx / patchPx, tile.widthPx / patchPx];
      this.writePatches(values, i * patches * patchValues, tile);
      mask.fill(1n, i * patches, i * patches + high * wide);
      shapes.set([BigInt(high), BigInt(wide)], 2 * i);
      const grid = { rows: high / this.factor, columns: wide / this.factor };
      regions.push({ ...tile.region, ...grid, firstToken: visualTokens });
      visualTokens += grid.rows * grid.columns;
    });
    const [first] = regions;
    return {
      feeds: {
        pixel_values: new Tensor('float32', values, [tiles.length, patches, patchValues]),
        pixel_attention_mask: new Tensor('int64', mask, [tiles.length, patches]),
        spatial_shapes: new Tensor('int64', shapes, [tiles.length, 2]),
      },
      gridThw: [tiles.length, patches, 1],
      tokenGrid: [rows * first!.rows, columns * first!.columns],
      visualTokens,
      regions,
    };
  }

  expandImages(prompt: string, images: readonly ImageLayout[]): string {
    const texts = images.map((image) => this.imageText(image));
    return replacePlaceholders(prompt, this.imageToken, texts);
  }

  /** Each tile's patches in raster order, then padding. */
  keyTokens({ regions }: PreparedImage): KeyTokens {
    const { factor } = this;
    const patches = this.paddedPatches();
    const tokenOf = new Int32Array(regions.length * patches).fill(-1);
    regions.forEach(({ rows, columns, firstToken }, i) => {
      const wide = columns * factor;
      for (let p = 0; p < rows * factor * wide; p++) {
        const row = Math.floor(p / wide / factor);
        const column = Math.floor((p % wide) / factor);
        tokenOf[i * patches + p] = firstToken + row * columns + column;
      }
    });
    return { sequences: regions.length, tokenOf };
  }

  positions(promptIds: readonly number[]): PromptPositions {
    return { axes: [Int32Array.from(promptIds, (_, i) => i)], next: promptIds.length };
  }

  private cut(image: RgbImage): { tiles: Tile[]; rows: number; columns: number } {
    const { tilePx, filter } = this;
    const [height, width] = this.wholeSize(image.height, image.width);
    const whole: Tile = {
      image: resample(image, width, height, filter),
      left: 0,
      top: 0,
      widthPx: width,
      heightPx: height,
      region: { kind: 'image', left: 0, top: 0, width: 1, height: 1 },
    };
    if (!this.splits || !this.isLarge(image.width, image.height))
      return { tiles: [whole], rows: 1, columns: 1 };

    const [columns, rows] = this.tileGrid(image.width, image.height);
    const resized = resample(image, columns * tilePx, rows * tilePx, filter);
    const tiles = Array.from({ length: rows * columns }, (_, i): Tile => {
      const row = Math.floor(i / columns);
      const column = i % columns;
      return {
        image: resized,
        left: column * tilePx,
        top: row * tilePx,
        widthPx: tilePx,
        heightPx: tilePx,
        region: {
          kind: 'tile',
          left: column / columns,
          top: row / rows,
          width: 1 / columns,
          height: 1 / rows,
        },
      };
    });
    if (this.hasThumbnail && tiles.length > 1) {
      tiles.push({ ...whole, region: { ...whole.region, kind: 'thumbnail' } });
    }
    return { tiles, rows, columns };
  }

  /** Height and width of the whole image, or of its thumbnail: multiples of a token, within the bounds. */
  private wholeSize(height: number, width: number): [number, number] {
    const unit = this.patchPx * this.factor;
    const [most, least] = [this.maxTokens * unit ** 2, this.minTokens * unit ** 2];
    const rounded = (px: number) => Math.max(unit, roundHalfEven(px / unit) * unit);
    if (rounded(height) * rounded(width) > most) {
      const beta = Math.sqrt((height * width) / most);
      const down = (px: number) => Math.max(unit, Math.floor(px / beta / unit) * unit);
      return [down(height), down(width)];
    }
    if (rounded(height) * rounded(width) < least) {
      const beta = Math.sqrt(least / (height * width));
      const up = (px: number) => Math.ceil((px * beta) / unit) * unit;
      return [up(height), up(width)];
    }
    return [rounded(height), rounded(width)];
  }

  private isLarge(width: number, height: number): boolean {
    const unit = this.patchPx * this.factor;
    const rounded = (px: number) => Math.max(this.patchPx, roundHalfEven(px / unit) * unit);
    return rounded(height) * rounded(width) > this.maxTokens * unit ** 2 * this.tolerance;
  }

  /** Columns and rows of tiles: the closest aspect ratio; of equal ones the larger grid, if the image fills half of it. */
  private tileGrid(width: number, height: number): [number, number] {
    const grids: [number, number][] = [];
    for (let columns = 1; columns <= this.maxTiles; columns++) {
      for (let rows = 1; columns * rows <= this.maxTiles; rows++) {
        if (columns * rows >= this.minTiles) grids.push([columns, rows]);
      }
    }
    grids.sort((a, b) => a[0] * a[1] - b[0] * b[1]);
    let best: [number, number] = [1, 1];
    let smallest = Infinity;
    for (const grid of grids) {
      const difference = Math.abs(width / height - grid[0] / grid[1]);
      const halfArea = 0.5 * this.tilePx ** 2 * grid[0] * grid[1];
      if (difference < smallest || (difference === smallest && width * height > halfArea)) {
        best = grid;
        smallest = difference;
      }
    }
    return best;
  }

  private paddedPatches(): number {
    const tilePatches = this.splits ? Math.floor(this.tilePx / this.patchPx) ** 2 : 0;
    return Math.max(this.maxTokens * this.factor ** 2, tilePatches);
  }

  /** Patches in raster order, [patch, patch, 3] each. */
  private writePatches(values: Float32Array, start: number, tile: Tile): void {
    const { patchPx, normalized } = this;
    const { image } = tile;
    let o = start;
    for (let top = tile.top; top < tile.top + tile.heightPx; top += patchPx) {
      for (let left = tile.left; left < tile.left + tile.widthPx; left += patchPx) {
        for (let y = top; y < top + patchPx; y++) {
          let p = (y * image.width + left) * 3;
          for (let i = 0; i < patchPx * 3; i++, p++) {
            values[o++] = normalized[i % 3]![image.data[p]!]!;
          }
        }
      }
    }
  }

  private imageText({ regions }: ImageLayout): string {
    const columns = regions.filter(({ kind, top }) => kind === 'tile' && top === 0).length;
    const parts = regions.map(({ kind, rows, columns: wide }, i) => {
      const tokens = this.imageToken.repeat(rows * wide);
      if (kind === 'image') return tokens;
      if (kind === 'thumbnail') return `<|img_thumbnail|>${tokens}`;
      return `<|img_row_${Math.floor(i / columns) + 1}_col_${(i % columns) + 1}|>${tokens}`;
    });
    return `<|image_start|>${parts.join('')}<|image_end|>`;
  }
}

/** Exported for its test. */
export function languageCost(text: ConfigReader): CostModel {
  const cost = textCost(text, feedForwardSize(text));
  return { ...cost, convolutionLayers: cost.layers - attentionLayers(text, cost.layers) };
}

/** Older configurations list the indices of the layers with attention, newer ones every layer's type. */
function attentionLayers(text: ConfigReader, layers: number): number {
  if (text.has('layer_types')) {
    return text.strings('layer_types').filter((type) => type !== 'conv').length;
  }
  return text.has('full_attn_idxs') ? text.numbers('full_attn_idxs').length : layers;
}

/** As `Lfm2MLP` sizes itself. */
function feedForwardSize(text: ConfigReader): number {
  const size = text.number('block_ff_dim', text.number('intermediate_size', 0));
  if (!text.boolean('block_auto_adjust_ff_dim', true)) return size;
  const adjusted = Math.trunc(
    text.number('block_ffn_dim_multiplier', 1) * Math.trunc((2 * size) / 3),
  );
  const multiple = text.number('block_multiple_of', 256);
  return Math.ceil(adjusted / multiple) * multiple;
}

function visionCost(config: ConfigReader, outputSize: number): VisionCostModel {
  const vision = config.section('vision_config');
  const hiddenSize = vision.number('hidden_size');
  const factor = config.number('downsample_factor', 2);
  const middle = config.number('projector_hidden_size', 2560);
  return {
    patchSize: 3 * vision.number('patch_size', 16) ** 2,
    hiddenSize,
    layers: vision.number('num_hidden_layers', 12),
    heads: vision.number('num_attention_heads', 12),
    intermediateSize: vision.number('intermediate_size'),
    mlpMatrices: 2,
    mergeSide: factor,
    windowLayers: 0,
    windowSide: 0,
    merger: [
      [hiddenSize * factor ** 2, middle],
      [middle, outputSize],
    ],
  };
}
