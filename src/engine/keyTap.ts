import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import {
  appendFile,
  copyFile,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  utimes,
} from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { AvisError } from '../shared/errors';
import { findLastKeys, type KeyLayout } from './keyPatterns';
import { graphAddition, oldestOpset, OnnxGraph } from './onnxGraph';

/** A vision graph with the keys of its last attention among its outputs. */
export interface TappedGraph {
  graphPath: string;
  /** Where the weights beside the user's own graph lie; onnxruntime has to be told. */
  externalDataFolder: string;
  /** float32. */
  outputName: string;
  layout: KeyLayout;
}

/** How many edited graphs the cache keeps. */
const keptGraphs = 4;
/** An edited graph in the cache, or what a process that ended early left of one. */
const editedGraph = /^[0-9a-f]{64}\.onnx(\.\d+\.tmp)?$/;

/**
 * Adds the keys of the last attention of a vision graph (avis.md §1: after rotary embedding) to its
 * outputs. The user's file is never changed: the edited graph lies in `cacheFolder` under the hash of
 * its content, and takes weights that are kept outside the graph from where they are.
 * @param readyOutput an output that makes this needless.
 * @returns the reason, as the end of a sentence, when there is no key to be found; null when the graph
 * has `readyOutput`.
 * @throws {AvisError} 'badModel' when the graph can't be read or the cache folder can't be written.
 */
export async function tapVisionKeys(
  graphPath: string,
  cacheFolder: string,
  readyOutput = 'visual_keys',
): Promise<TappedGraph | { reason: string } | null> {
  const bytes = await readFile(graphPath).catch((cause: unknown) => {
    throw new AvisError('badModel', `${graphPath} can't be read.`, { cause });
  });
  const graph = OnnxGraph.read(bytes, `onnx/${basename(graphPath)}`);
  if (graph.outputs.includes(readyOutput)) return null;
  const found = findLastKeys(graph);
  if ('reason' in found) return found;
  if (graph.opset < oldestOpset) return { reason: `its operator set ${graph.opset} is too old` };

  const outputName = 'avis_vision_keys';
  const cast = {
    opType: 'Cast',
    inputs: [found.tensor],
    output: outputName,
    attributes: { to: 1 },
  };
  const addition = graphAddition([...found.nodes, cast], outputName);
  const hash = createHash('sha256').update(bytes).update(addition).digest('hex');
  const tappedPath = join(cacheFolder, `${hash}.onnx`);
  await writeTapped(graphPath, addition, tappedPath, bytes.length);
  return {
    graphPath: tappedPath,
    externalDataFolder: dirname(graphPath),
    outputName,
    layout: found.layout,
  };
}

/** On file systems that can, the copy shares the original's blocks. */
async function writeTapped(
  graphPath: string,
  addition: Uint8Array,
  tappedPath: string,
  graphBytes: number,
): Promise<void> {
  const there = await stat(tappedPath).catch(() => null);
  if (there?.size === graphBytes + addition.length) {
    const now = new Date();
    await utimes(tappedPath, now, now).catch(() => {}); // a cache that can't be written can be read
    return;
  }
  const unfinished = `${tappedPath}.${process.pid}.tmp`;
  try {
    await mkdir(dirname(tappedPath), { recursive: true });
    await copyFile(graphPath, unfinished, constants.COPYFILE_FICLONE);
    await appendFile(unfinished, addition);
    await rename(unfinished, tappedPath);
  } catch (cause) {
    await rm(unfinished, { force: true }).catch(() => {}); // the folder itself may be what is wrong
    throw new AvisError(
      'badModel',
      `The vision graph with its keys can't be written to ${dirname(tappedPath)}. Make room there, or make the folder writable.`,
      { cause },
    );
  }
  await removeOldest(dirname(tappedPath));
}

/** Edited graphs can be as large as the graphs themselves: those used last are kept. */
async function removeOldest(cacheFolder: string): Promise<void> {
  const files = (await readdir(cacheFolder)).filter((name) => editedGraph.test(name));
  const dated = await Promise.all(
    files.map(async (name) => {
      const path = join(cacheFolder, name);
      const info = await stat(path).catch(() => null); // another process may have removed it
      return { path, usedMs: info?.mtimeMs ?? 0 };
    }),
  );
  dated.sort((a, b) => b.usedMs - a.usedMs);
  for (const { path } of dated.slice(keptGraphs)) {
    await rm(path, { force: true }).catch(() => {}); // Windows keeps what another process has open
  }
}

/** Keys as [batch, heads, tokens, headDim]. */
export interface KeyTensor {
  values: Float32Array;
  batch: number;
  heads: number;
  tokens: number;
  headDim: number;
}

/**
 * Brings the tapped output into one order.
 * @param sequences how many (images or tiles) went through the graph side by side; some graphs join them.
 * @throws {AvisError} 'badModel' when the shape doesn't fit the layout.
 */
export function arrangeKeys(
  values: Float32Array,
  dims: readonly number[],
  layout: KeyLayout,
  sequences: number,
): KeyTensor {
  const rank = dims.length;
  const joined = layout.kind === 'axes' ? layout.joined : rank === 2;
  const batch = joined ? 1 : sequences;
  const flat = layout.kind === 'byRank' && rank < 4;
  const [tokensAxis, headDimAxis] =
    layout.kind === 'axes' ? [rank + layout.tokens, rank + layout.headDim] : [rank - 2, rank - 1];
  const tokens = dims[tokensAxis] ?? 0;
  const heads = flat ? layout.heads : values.length / (batch * tokens * (dims[headDimAxis] ?? 0));
  const headDim = (dims[headDimAxis] ?? 0) / (flat ? heads : 1);
  const sizes = [batch, heads, tokens, headDim];
  if (
    !sizes.every((size) => Number.isInteger(size) && size > 0) ||
    sizes.reduce((a, b) => a * b) !== values.length
  ) {
    throw new AvisError(
      'badModel',
      `The vision keys have the shape [${dims.join(', ')}], which does not divide into ${batch} sequences of heads, tokens and features.`,
    );
  }

  // Strides of the tensor as it lies; the axes left over run batch first, then heads.
  const strides = dims.map((_, axis) => dims.slice(axis + 1).reduce((a, b) => a * b, 1));
  const rest = dims
    .map((_, axis) => axis)
    .filter((axis) => axis !== tokensAxis && axis !== headDimAxis);
  const out = new Float32Array(values.length);
  let o = 0;
  for (let group = 0; group < batch * heads; group++) {
    const start = flat
      ? Math.floor(group / heads) * tokens * heads * headDim + (group % heads) * headDim
      : offsetOf(group, rest, dims, strides);
    for (let token = 0; token < tokens; token++) {
      let at = start + token * strides[tokensAxis]!;
      for (let d = 0; d < headDim; d++, at += strides[headDimAxis]!) out[o++] = values[at]!;
    }
  }
  return { values: out, batch, heads, tokens, headDim };
}

/** Where the `index`-th combination of the given axes (last one fastest) begins. */
function offsetOf(
  index: number,
  axes: readonly number[],
  dims: readonly number[],
  strides: readonly number[],
): number {
  let offset = 0;
  let rest = index;
  for (let i = axes.length - 1; i >= 0; i--) {
    const axis = axes[i]!;
    offset += (rest % dims[axis]!) * strides[axis]!;
    rest = Math.floor(rest / dims[axis]!);
  }
  return offset;
}

/**
 * The key of each visual token: the mean of the keys of its patches (avis.md §1), which also undoes
 * window order, pixel shuffle and padding.
 * @param tokenOf the visual token of each key, [batch · tokens] in the order of the graph; −1 = none.
 * @returns [heads, visualTokens, headDim].
 * @throws {AvisError} 'badModel' when the number of keys is not the one expected.
 */
export function mergeKeys(
  keys: KeyTensor,
  tokenOf: Int32Array,
  visualTokens: number,
): Float32Array {
  const { values, batch, heads, tokens, headDim } = keys;
  if (tokenOf.length !== batch * tokens) {
    throw new AvisError(
      'badModel',
      `The last attention of the vision graph has ${batch * tokens} keys where this family has ${tokenOf.length}.`,
    );
  }
  const sums = new Float64Array(heads * visualTokens * headDim);
  const counts = new Float64Array(visualTokens);
  for (const token of tokenOf) if (token >= 0) counts[token]!++;
  for (let b = 0; b < batch; b++) {
    for (let head = 0; head < heads; head++) {
      for (let t = 0; t < tokens; t++) {
        const token = tokenOf[b * tokens + t]!;
        if (token < 0) continue;
        const from = ((b * heads + head) * tokens + t) * headDim;
        const to = (head * visualTokens + token) * headDim;
        for (let d = 0; d < headDim; d++) sums[to + d]! += values[from + d]!;
      }
    }
  }
  return Float32Array.from(sums, (sum, i) => sum / counts[Math.floor(i / headDim) % visualTokens]!);
}
