import type { Tensor } from 'onnxruntime-common';
import type { VisionCostModel } from '../../avis/compute';
import type { CostModel, VisualRegion } from '../../shared/types';
import type { Checkpoint } from '../checkpoint';
import type { RgbImage } from '../image';

/** One image as the vision graph wants it. */
export interface PreparedImage {
  /**
   * The vision graph's inputs by name. Several tiles lie one after the other in each of them, along the
   * first axis or, behind a batch of one, the second.
   */
  feeds: Record<string, Tensor>;
  /** Tiles (or frames), and the rows and columns of patches of each. */
  gridThw: [number, number, number];
  /** Rows and columns of visual tokens after the spatial merge. */
  tokenGrid: [number, number];
  /** Visual tokens of this image in the prompt. */
  visualTokens: number;
  /** One for each tile, in the tiles' order. */
  regions: VisualRegion[];
}

/** What of a prepared image its cost depends on. */
export type ImageSize = Pick<PreparedImage, 'gridThw' | 'visualTokens'>;

/** What of a prepared image the prompt depends on; it outlives the pixels. */
export type ImageLayout = Pick<PreparedImage, 'visualTokens' | 'tokenGrid' | 'regions'>;

export interface KeyTokens {
  /** Sequences (images or tiles) that go through the graph side by side. */
  sequences: number;
  /** [sequences · keys]; −1 for padding. */
  tokenOf: Int32Array;
}

/** Position ids of a whole, unpruned prompt. */
export interface PromptPositions {
  /** One row for plain positions, three (time, height, width) for M-RoPE; each of prompt length. */
  axes: Int32Array[];
  /** The position of the first decoded token, on every axis; pruning doesn't change it. */
  next: number;
}

/**
 * What differs between model families; everything else is shared. An adapter is made once per loaded
 * checkpoint from its config.json and preprocessor_config.json.
 */
export interface Family {
  readonly imageTokenId: number;
  readonly cost: CostModel;
  readonly vision: VisionCostModel;
  readonly parameters: number;
  /** Longest prompt + answer that the model's positions allow, in tokens. */
  readonly maxPositions: number;
  /** What `prepareImage` makes of an image of this size. @throws {AvisError} as it does. */
  measureImage(width: number, height: number): ImageSize;
  /** @throws {AvisError} 'badInput' when the family can't take such an image. */
  prepareImage(image: RgbImage): PreparedImage;
  /**
   * Replaces the chat template's placeholder of each image by as many image tokens as it has visual
   * tokens (and whatever stands between tiles).
   */
  expandImages(prompt: string, images: readonly ImageLayout[]): string;
  /**
   * Which visual token each key of the last vision block belongs to, in the graph's own order (patches
   * before the merge, windows one after the other, …).
   */
  keyTokens(image: PreparedImage): KeyTokens;
  /** Positions as the PyTorch model computes them for the unpruned prompt. */
  positions(promptIds: readonly number[], images: readonly ImageLayout[]): PromptPositions;
}

export type FamilyFactory = (checkpoint: Checkpoint) => Family;
