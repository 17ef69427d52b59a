import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PruneSetting } from '../../../src/shared/types';

/** One prompt of a fixture checkpoint, as PyTorch computed it; see test/fixtures/makeCheckpoints.py. */
export interface ReferenceCase {
  images: string[];
  question: string;
  prompt: string;
  inputIds: number[];
  positionIds: number[] | number[][];
  nextPosition: number;
  gridThw?: [number, number, number][];
  /** Rows and columns of tiles of each image, tiled families only. */
  tiles?: [number, number][];
  runs: Record<
    string,
    {
      prune: PruneSetting | null;
      keep: number[][];
      tokens: number[];
      positionIds?: number[] | number[][];
    }
  >;
}

export interface ReferenceTensor {
  dims: number[];
  values: Float32Array | Float64Array | Uint8Array;
}

export interface Reference {
  folder: string;
  cases: Record<string, ReferenceCase>;
  tensor(name: string): ReferenceTensor;
}

export const fixtures = join(import.meta.dirname, '../../fixtures');

export function fixtureImage(name: string): { name: string; bytes: Uint8Array } {
  return { name: `${name}.png`, bytes: readFileSync(join(fixtures, 'images', `${name}.png`)) };
}

/** @param checkpoint a fused checkpoint has the weights, and so the reference, of its plain twin. */
export function readReference(checkpoint: string): Reference {
  const plain = join(fixtures, 'checkpoints', checkpoint.replace(/-fused$/, ''));
  const { cases } = JSON.parse(readFileSync(join(plain, 'reference.json'), 'utf8')) as Pick<
    Reference,
    'cases'
  >;
  const file = readFileSync(join(plain, 'reference.safetensors'));
  const headerBytes = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.subarray(8, 8 + headerBytes).toString()) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  return {
    folder: join(fixtures, 'checkpoints', checkpoint),
    cases,
    tensor: (name) => {
      const entry = header[name];
      if (!entry) throw new Error(`The reference has no tensor ${name}.`);
      const [from, to] = entry.data_offsets.map((offset) => 8 + headerBytes + offset);
      const bytes = Uint8Array.from(file.subarray(from, to)); // aligned
      const types = { F32: Float32Array, F64: Float64Array, U8: Uint8Array };
      const type = types[entry.dtype as keyof typeof types];
      return { dims: entry.shape, values: new type(bytes.buffer) };
    },
  };
}

/** Largest absolute difference over the largest absolute value expected. */
export function relativeError(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (found.length !== expected.length) return Infinity;
  let difference = 0;
  let scale = 0;
  for (let i = 0; i < expected.length; i++) {
    difference = Math.max(difference, Math.abs(found[i]! - expected[i]!));
    scale = Math.max(scale, Math.abs(expected[i]!));
  }
  return Number.isNaN(difference) ? Infinity : difference / scale;
}
