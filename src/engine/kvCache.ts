import { Tensor } from 'onnxruntime-node';
import { AvisError } from '../shared/errors';
import type { GraphSession } from './session';

/**
 * One tensor that a decoder carries from step to step. Keys and values grow along axis 2; convolution
 * and recurrent states of hybrid models don't.
 */
export interface StateSpec {
  input: string;
  output: string;
  type: Tensor.Type;
  /** Without the batch: [heads, tokens, headDim], where `tokens` is 0 and filled in if it grows. */
  shape: number[];
  grows: boolean;
}

/** The states after a prompt, batch 1, in the order of the specs. Shared by all rollouts. */
export interface PromptState {
  tensors: Tensor[];
  /** Tokens prefilled. */
  length: number;
}

/** The states of the running rollouts, all of one length; those that have said the same share a row. */
export interface KvCache {
  readonly rows: number;
  readonly length: number;
  /** The outputs of a run that `advance` takes. */
  readonly fetches: readonly string[];
  /** Adds the states' tensors to the next one-token run. */
  bind(feeds: Record<string, Tensor>): void;
  /** Takes over the outputs of that run. */
  advance(outputs: Record<string, Tensor>): void;
  /** Puts these rows in the place of all. One may be listed several times. */
  keepRows(rows: readonly number[]): Promise<void>;
  dispose(): void;
}

/** @throws {AvisError} 'badModel' for a state whose layout isn't known. */
export function stateSpecs(decoder: GraphSession): StateSpec[] {
  const specs: StateSpec[] = [];
  for (const { name, type, shape } of decoder.inputs.values()) {
    if (!name.startsWith('past_')) continue;
    const output = name.replace(/^past_key_values/, 'present').replace(/^past_/, 'present_');
    const [, ...rest] = shape;
    const grows = rest.length === 3 && typeof rest[1] !== 'number';
    const sizes = rest.map((size, axis) => (grows && axis === 1 ? 0 : size));
    if (!decoder.outputs.has(output) || !sizes.every((size) => typeof size === 'number')) {
      throw new AvisError(
        'badModel',
        `${decoder.label} carries ${name} [${shape.join(', ')}] in a layout that isn't supported.`,
      );
    }
    specs.push({ input: name, output, type, shape: sizes as number[], grows });
  }
  return specs;
}

/** The states before the first token. */
export function emptyStates(specs: readonly StateSpec[]): Tensor[] {
  return specs.map(({ type, shape }) => allocate(type, [1, ...shape]));
}

/**
 * The output with the keys and values of the last token alone, [rows, states · heads, headDim], which
 * appendedTap.ts gives to graphs that also take a past with room behind the tokens that the attention
 * mask counts.
 */
export const appendedOutput = 'appended';

/** Tokens that a cache with room grows by: every step copies the room, too, on its way through. */
const roomTokens = 32;

/**
 * States with room for tokens to come, [rows, heads, capacity, headDim]: a step gives back only what is
 * new, and JavaScript writes that into its place. onnxruntime-node copies every output that it hands
 * out, even one that was allocated here and written in place, so the less comes out the better.
 */
export class AppendedKvCache implements KvCache {
  readonly fetches = [appendedOutput];
  length: number;
  private capacity: number;
  private tensors: Tensor[];

  constructor(
    private readonly specs: readonly StateSpec[],
    prompt: PromptState,
    public rows: number,
  ) {
    this.length = prompt.length;
    this.capacity = prompt.length + roomTokens;
    const everyRow = Array.from({ length: rows }, () => 0);
    this.tensors = prompt.tensors.map((tensor) => pick(tensor, everyRow, this.capacity));
  }

  bind(feeds: Record<string, Tensor>): void {
    if (this.length === this.capacity) {
      this.capacity += roomTokens;
      const everyRow = Array.from({ length: this.rows }, (_, row) => row);
      this.tensors = this.tensors.map((tensor) => pick(tensor, everyRow, this.capacity));
    }
    this.specs.forEach((spec, i) => {
      feeds[spec.input] = this.tensors[i]!;
    });
  }

  advance(outputs: Record<string, Tensor>): void {
    const fresh = outputs[appendedOutput]!.data as Float32Array;
    let from = 0;
    for (let row = 0; row < this.rows; row++) {
      this.specs.forEach(({ shape }, i) => {
        const [heads, , headDim] = shape as [number, number, number];
        const target = this.tensors[i]!.data as Float32Array;
        for (let head = 0; head < heads; head++) {
          let to = ((row * heads + head) * this.capacity + this.length) * headDim;
          for (const end = to + headDim; to < end; to++) target[to] = fresh[from++]!;
        }
      });
    }
    this.length++;
  }

  async keepRows(rows: readonly number[]): Promise<void> {
    this.tensors = this.tensors.map((tensor) => pick(tensor, rows, this.capacity));
    this.rows = rows.length;
  }

  dispose(): void {
    this.tensors = [];
  }
}

/** Copies some rows of a state, [rows, …]; one that grows, [rows, heads, tokens, headDim], with room. */
function pick(from: Tensor, rows: readonly number[], capacity: number): Tensor {
  const [, heads, tokens, headDim] = from.dims as [number, number, number, number];
  const to = allocate(from.type, [rows.length, heads, capacity, headDim]);
  const source = from.data as Float32Array;
  const target = to.data as Float32Array;
  rows.forEach((row, i) => {
    for (let head = 0; head < heads; head++) {
      const start = (row * heads + head) * tokens * headDim;
      const piece = source.subarray(start, start + tokens * headDim);
      target.set(piece, (i * heads + head) * capacity * headDim);
    }
  });
  return to;
}

/** Makes a batch of some rows of each state. A row may be listed several times. */
export type GatherRows = (tensors: readonly Tensor[], rows: readonly number[]) => Promise<Tensor[]>;

/** States that are fed back as they come out, wherever they lie. */
export class FedBackKvCache implements KvCache {
  readonly fetches: readonly string[];

  private constructor(
    private readonly specs: readonly StateSpec[],
    private readonly gatherRows: GatherRows,
    private tensors: Tensor[],
    public rows: number,
    public length: number,
  ) {
    this.fetches = specs.map(({ output }) => output);
  }

  static async create(
    specs: readonly StateSpec[],
    prompt: PromptState,
    rows: number,
    gatherRows: GatherRows,
  ): Promise<FedBackKvCache> {
    const tensors = await gatherRows(
      prompt.tensors,
      Array.from({ length: rows }, () => 0),
    );
    return new FedBackKvCache(specs, gatherRows, tensors, rows, prompt.length);
  }

  bind(feeds: Record<string, Tensor>): void {
    this.specs.forEach((spec, i) => {
      feeds[spec.input] = this.tensors[i]!;
    });
  }

  advance(outputs: Record<string, Tensor>): void {
    this.dispose();
    this.tensors = this.specs.map((spec) => outputs[spec.output]!);
    this.length++;
  }

  async keepRows(rows: readonly number[]): Promise<void> {
    const kept = await this.gatherRows(this.tensors, rows);
    this.dispose();
    this.tensors = kept;
    this.rows = rows.length;
  }

  dispose(): void {
    for (const tensor of this.tensors) tensor.dispose();
    this.tensors = [];
  }
}

/** In main memory. */
export const gatherHostRows: GatherRows = async (tensors, rows) =>
  tensors.map((from) => {
    const [batch = 1, ...rest] = from.dims;
    const to = allocate(from.type, [rows.length, ...rest]);
    const source = from.data as Float32Array;
    const size = source.length / batch;
    rows.forEach((row, i) => {
      (to.data as Float32Array).set(source.subarray(row * size, (row + 1) * size), i * size);
    });
    return to;
  });

/**
 * On the device: JavaScript can't copy its memory, so a small graph does (smallGraphs.ts).
 * @param graph rowGatherGraph(specs)
 */
export function gatherDeviceRows(specs: readonly StateSpec[], graph: GraphSession): GatherRows {
  return async (tensors, rows) => {
    const feeds: Record<string, Tensor> = {
      rows: new Tensor('int64', BigInt64Array.from(rows, BigInt), [rows.length]),
    };
    specs.forEach((spec, i) => {
      feeds[spec.input] = tensors[i]!;
    });
    const outputs = await graph.run(feeds);
    return specs.map((spec) => outputs[`rows.${spec.input}`]!);
  };
}

function allocate(type: Tensor.Type, dims: number[]): Tensor {
  const elements = dims.reduce((product, size) => product * size, 1);
  try {
    const data = type === 'float16' ? new Uint16Array(elements) : new Float32Array(elements);
    return new Tensor(type as 'float32', data as Float32Array, dims);
  } catch (cause) {
    throw new AvisError(
      'outOfMemory',
      `There is not enough memory for a KV cache of the shape [${dims.join(', ')}]. Choose fewer rollouts, fewer new tokens or a smaller image.`,
      { cause },
    );
  }
}
