import { totalmem } from 'node:os';
import { kvCacheBytes, type VisionCostModel } from '../avis/compute';
import { AvisError } from '../shared/errors';
import { predictMemory } from '../shared/memory';
import type { CostModel } from '../shared/types';
import { prefillChunkTokens } from './decoder';
import type { Family } from './families/family';

/** What a model must have room for: a question about a picture of this size, with so many rollouts. */
const planned = { widthPx: 448, heightPx: 448, textTokens: 128, rollouts: 7, newTokens: 128 };
/** Intermediate results of the vision encoder, of all tiles that go through it side by side. */
const tilesBudgetBytes = 400e6;
/** Tensors of the hidden size that are alive at once beside the attention scores; measured. */
const hiddenTensors = 20;
const floatBytes = 4;

/** How many tiles of so many patches the vision encoder takes in one run. */
export function tilesPerRun(vision: VisionCostModel, patches: number): number {
  return Math.max(1, Math.floor(tilesBudgetBytes / tileBytes(vision, patches)));
}

/** Bytes of one question's intermediate results and caches, the planned one's. */
export function plannedRunBytes(family: Family): number {
  const { cost, vision } = family;
  const { gridThw, visualTokens } = family.measureImage(planned.widthPx, planned.heightPx);
  const [tiles, rows, columns] = gridThw;
  const patches = rows * columns;
  const sideBySide = Math.min(tiles, tilesPerRun(vision, patches));
  const prompt = visualTokens + planned.textTokens;
  // A graph that doesn't append in place reads one cache and writes another.
  const caches = 2 * planned.rollouts * kvCacheBytes(cost, prompt + planned.newTokens);
  return sideBySide * tileBytes(vision, patches) + prefillBytes(cost, prompt) + caches;
}

/** What this process may use: the machine's memory, or the container's share of it. */
export function usableMemory(): number {
  const limit = process.constrainedMemory();
  return limit > 0 && limit < totalmem() ? limit : totalmem();
}

/** @throws {AvisError} 'outOfMemory' with the figures. */
export function requireMemory(name: string, graphBytes: number, family: Family): void {
  const needed = predictMemory(graphBytes, plannedRunBytes(family));
  const usable = usableMemory();
  // Sizes that no model has (zero, fractions) are named where an image is cut to them.
  if (needed <= usable || !Number.isFinite(needed)) return;
  throw new AvisError(
    'outOfMemory',
    `${name} needs about ${gigabytes(needed)} of memory and this machine has ${gigabytes(usable)}. Choose a smaller dtype (q4) or a smaller model.`,
  );
}

/** Attention scores before and after the softmax, for every pair of patches, and what is linear in them. */
function tileBytes({ heads, hiddenSize }: VisionCostModel, patches: number): number {
  return floatBytes * patches * (2 * heads * patches + hiddenTensors * hiddenSize);
}

/** One piece of the prompt, looking back at all of it; the prompt's own cache. */
function prefillBytes(cost: CostModel, tokens: number): number {
  const piece = Math.min(tokens, prefillChunkTokens);
  const scores = 2 * cost.heads * tokens;
  const linear = hiddenTensors * cost.hiddenSize + cost.vocabularySize;
  return floatBytes * piece * (scores + linear) + kvCacheBytes(cost, tokens);
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
