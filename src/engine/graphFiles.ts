import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Dtype, dtypeSuffixes, graphFileName } from '../shared/dtypes';
import { AvisError } from '../shared/errors';
import type { DeviceName } from '../shared/types';

export const graphNames = ['vision_encoder', 'embed_tokens', 'decoder_model_merged'] as const;
export type GraphName = (typeof graphNames)[number];

export interface GraphFile {
  /** Absolute. */
  path: string;
  /** Relative to the checkpoint folder, with forward slashes; external data files follow it. */
  files: string[];
  dtype: string;
  /** The graph and its external data. */
  bytes: number;
}

/** What protobuf can hold in one file. */
const largestGraphBytes = 2 ** 31;

/**
 * What 'auto' takes, best first. The CPU computes in fp32 and gains from small weights in the decoder
 * alone; a GPU gains from fp16. The vision tower comes in the finest variant there is: coarse weights
 * distort the keys that the scores are made of (avis.md §5).
 */
const preferences: Record<'cpu' | 'gpu', Record<'decoder' | 'vision', Dtype[]>> = {
  cpu: {
    decoder: ['q4', 'int8', 'quantized', 'uint8', 'fp32', 'bnb4', 'fp16', 'q4f16'],
    vision: ['fp32', 'fp16', 'int8', 'uint8', 'quantized', 'q4', 'q4f16', 'bnb4'],
  },
  gpu: {
    decoder: ['q4f16', 'q4', 'fp16', 'fp32', 'bnb4', 'int8', 'quantized', 'uint8'],
    vision: ['fp16', 'fp32', 'int8', 'uint8', 'quantized', 'q4f16', 'q4', 'bnb4'],
  },
};

/** Variants whose weights are quantized, which distorts the vision keys. */
export function isQuantized(dtype: string): boolean {
  return dtype !== 'fp32' && dtype !== 'fp16';
}

/**
 * Finds each graph's file. A wanted dtype that one graph lacks falls back to the preference for that
 * graph, unless no graph has it.
 * @throws {AvisError} 'badModel' naming the missing file and what is there.
 */
export async function findGraphs(
  folder: string,
  wanted: string,
  device: DeviceName,
): Promise<Record<GraphName, GraphFile>> {
  const onnxFolder = join(folder, 'onnx');
  const present = await readdir(onnxFolder).catch(() => [] as string[]);
  if (wanted !== 'auto' && !(wanted in dtypeSuffixes)) {
    throw new AvisError(
      'badInput',
      `There is no dtype "${wanted}". Choose auto or one of ${Object.keys(dtypeSuffixes).join(', ')}.`,
    );
  }
  const has = (name: GraphName, dtype: Dtype) => present.includes(graphFileName(name, dtype));
  if (wanted !== 'auto' && !graphNames.some((name) => has(name, wanted as Dtype))) {
    throw new AvisError(
      'badModel',
      `The checkpoint ${folder} has no ${wanted} graphs. It has: ${onnxList(present)}.`,
    );
  }
  const find = async (name: GraphName): Promise<GraphFile> => {
    const order = preferences[device === 'cpu' ? 'cpu' : 'gpu'];
    const candidates = order[name === 'decoder_model_merged' ? 'decoder' : 'vision'];
    const dtype =
      wanted !== 'auto' && has(name, wanted as Dtype)
        ? (wanted as Dtype)
        : candidates.find((candidate) => has(name, candidate));
    if (!dtype) {
      throw new AvisError(
        'badModel',
        `The checkpoint ${folder} has no onnx/${name}.onnx (nor a variant of it). It has: ${onnxList(present)}.`,
      );
    }
    const file = graphFileName(name, dtype);
    const files = [file, ...present.filter((other) => other.startsWith(`${file}_data`)).sort()];
    const sizes = await Promise.all(files.map((each) => stat(join(onnxFolder, each))));
    if (sizes[0]!.size >= largestGraphBytes) {
      throw new AvisError(
        'badModel',
        `onnx/${file} has ${(sizes[0]!.size / 1e9).toFixed(1)} GB, and an ONNX file can't be larger than 2 GB. Export it with its weights in ${file}_data beside it.`,
      );
    }
    return {
      path: join(onnxFolder, file),
      files: files.map((each) => `onnx/${each}`),
      dtype,
      bytes: sizes.reduce((sum, { size }) => sum + size, 0),
    };
  };
  const [vision, embed, decoder] = await Promise.all(graphNames.map(find));
  return { vision_encoder: vision!, embed_tokens: embed!, decoder_model_merged: decoder! };
}

function onnxList(present: string[]): string {
  const graphs = present.filter((file) => file.endsWith('.onnx')).sort();
  return graphs.length ? graphs.join(', ') : 'no .onnx file in onnx/';
}
