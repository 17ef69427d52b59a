import { totalmem } from 'node:os';
import { kvCacheBytes } from '../avis/compute';
import { AvisError } from '../shared/errors';
import type { CostModel } from '../shared/types';

/** onnxruntime lays weights out anew for its kernels while the file's are still there. */
const weightFactor = 1.3;
/** Tokens of prompt and rollouts that a model must have room for. */
const plannedTokens = 4096;
/** Node, onnxruntime's code and the vision encoder's intermediate results. */
const fixedBytes = 400e6;

/** Bytes that the engine process will take at its peak, and what they are made of. */
export function predictMemory(graphBytes: number, cost: CostModel): number {
  return graphBytes * weightFactor + kvCacheBytes(cost, plannedTokens) + fixedBytes;
}

/** What this process may use: the machine's memory, or the container's share of it. */
export function usableMemory(): number {
  const limit = process.constrainedMemory();
  return limit > 0 && limit < totalmem() ? limit : totalmem();
}

/** @throws {AvisError} 'outOfMemory' with the figures. */
export function requireMemory(name: string, graphBytes: number, cost: CostModel): void {
  const needed = predictMemory(graphBytes, cost);
  const usable = usableMemory();
  if (needed <= usable) return;
  throw new AvisError(
    'outOfMemory',
    `${name} needs about ${gigabytes(needed)} of memory and this machine has ${gigabytes(usable)}. Choose a smaller dtype (q4) or a smaller model.`,
  );
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
