import { Tensor } from 'onnxruntime-node';
import { AvisError } from '../shared/errors';
import type { GraphSession } from './session';
import { elementBytes } from './tensors';

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

/** The states of the running rollouts, one batch row each, all of one length. */
export interface KvCache {
  readonly rows: number;
  readonly length: number;
  /** Adds the states' tensors to the next one-token run. */
  bind(feeds: Record<string, Tensor>, fetches: Record<string, Tensor | null>): void;
  /** Takes over the outputs of that run. */
  advance(outputs: Record<string, Tensor>): void;
  /** Drops the rows that are not listed. @param rows ascending */
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
  return specs.map((spec) => {
    const dims = [1, ...spec.shape];
    const elements = dims.reduce((product, size) => product * size, 1);
    return view(spec, new ArrayBuffer(elements * elementBytes(spec.type)), dims);
  });
}

function view(spec: StateSpec, buffer: ArrayBuffer, dims: number[]): Tensor {
  const elements = dims.reduce((product, size) => product * size, 1);
  const data =
    spec.type === 'float16'
      ? new Uint16Array(buffer, 0, elements)
      : new Float32Array(buffer, 0, elements);
  return new Tensor(spec.type as 'float32', data as Float32Array, dims);
}

function bytesOf(tensor: Tensor): Uint8Array {
  const data = tensor.data as Float32Array;
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/**
 * States in main memory, in buffers that outlive the steps.
 *
 * `inPlace`: keys and values lie in buffers of full capacity [rows, heads, capacity, headDim] that are
 * both past and present; GroupQueryAttention appends the new token and touches nothing else.
 * Otherwise the graph concatenates, so it reads one dense buffer and writes the other, and they swap:
 * one copy a step, the least that such a graph allows, and no allocation.
 */
export class HostKvCache implements KvCache {
  rows: number;
  length: number;
  private capacity: number;
  private front: ArrayBuffer[];
  private back: ArrayBuffer[];

  constructor(
    private readonly specs: readonly StateSpec[],
    prompt: PromptState,
    rows: number,
    private readonly inPlace: boolean,
    /** Tokens beyond the prompt to make room for at first. */
    headroom: number,
  ) {
    this.rows = rows;
    this.length = prompt.length;
    this.capacity = prompt.length + headroom;
    this.front = specs.map((spec) => this.allocate(spec));
    this.back = specs.map((spec, i) =>
      this.isShared(spec) ? this.front[i]! : this.allocate(spec),
    );
    specs.forEach((spec, i) => {
      const source = bytesOf(prompt.tensors[i]!);
      const target = new Uint8Array(this.front[i]!);
      const rowBytes = this.rowBytes(spec);
      if (this.isShared(spec))
        spread(source, target, this.headBytes(spec, this.length), rowBytes / spec.shape[0]!);
      else target.set(source);
      for (let row = 1; row < rows; row++) target.copyWithin(row * rowBytes, 0, rowBytes);
    });
  }

  bind(feeds: Record<string, Tensor>, fetches: Record<string, Tensor | null>): void {
    if (this.length + 1 > this.capacity) this.grow();
    this.specs.forEach((spec, i) => {
      feeds[spec.input] = view(spec, this.front[i]!, this.dims(spec, this.length));
      fetches[spec.output] = view(spec, this.back[i]!, this.dims(spec, this.length + 1));
    });
  }

  advance(): void {
    [this.front, this.back] = [this.back, this.front];
    this.length++;
  }

  async keepRows(rows: readonly number[]): Promise<void> {
    this.specs.forEach((spec, i) => {
      const bytes = new Uint8Array(this.front[i]!);
      const rowBytes = this.rowBytes(spec);
      rows.forEach((row, to) => {
        if (row !== to) bytes.copyWithin(to * rowBytes, row * rowBytes, (row + 1) * rowBytes);
      });
    });
    this.rows = rows.length;
  }

  dispose(): void {
    this.front = [];
    this.back = [];
  }

  private isShared(spec: StateSpec): boolean {
    return this.inPlace && spec.grows;
  }

  private dims(spec: StateSpec, length: number): number[] {
    if (!spec.grows) return [this.rows, ...spec.shape];
    const [heads, , headDim] = spec.shape as [number, number, number];
    return [this.rows, heads, this.isShared(spec) ? this.capacity : length, headDim];
  }

  private allocate(spec: StateSpec): ArrayBuffer {
    const tokens = spec.grows ? this.capacity : 0;
    const bytes = this.rows * spec.shape[0]! * this.headBytes(spec, tokens);
    try {
      return new ArrayBuffer(bytes);
    } catch (cause) {
      throw new AvisError(
        'outOfMemory',
        `There is not enough memory for the KV cache of ${this.rows} rollouts of ${this.capacity} tokens. Choose fewer rollouts, fewer new tokens or a smaller image.`,
        { cause },
      );
    }
  }

  /** Bytes of one row as it lies in the front buffer now. */
  private rowBytes(spec: StateSpec): number {
    const tokens = this.isShared(spec) ? this.capacity : this.length;
    return spec.shape[0]! * this.headBytes(spec, tokens);
  }

  private headBytes(spec: StateSpec, tokens: number): number {
    const [, ...rest] = spec.shape;
    if (spec.grows) rest[0] = tokens;
    return rest.reduce((product, size) => product * size, elementBytes(spec.type));
  }

  private grow(): void {
    const before = this.front;
    const strides = this.specs.map((spec) => this.headBytes(spec, this.capacity));
    const used = this.specs.map((spec) => this.rows * this.rowBytes(spec));
    this.capacity = Math.ceil(this.capacity * 1.5);
    this.specs.forEach((spec, i) => {
      if (!spec.grows) return;
      const old = new Uint8Array(before[i]!, 0, used[i]!);
      this.front[i] = this.allocate(spec);
      const target = new Uint8Array(this.front[i]!);
      if (this.isShared(spec)) {
        this.back[i] = this.front[i]!;
        spread(old, target, strides[i]!, this.headBytes(spec, this.capacity));
      } else {
        this.back[i] = this.allocate(spec);
        target.set(old);
      }
    });
  }
}

/** Copies pieces that lie one after the other to places `targetStride` bytes apart. */
function spread(
  source: Uint8Array,
  target: Uint8Array,
  pieceBytes: number,
  targetStride: number,
): void {
  for (let from = 0, to = 0; from < source.length; from += pieceBytes, to += targetStride) {
    target.set(source.subarray(from, from + pieceBytes), to);
  }
}

/**
 * States that stay on the device: outputs are fed back as they are. JavaScript can't copy device
 * memory, so rows are picked by a small graph that runs there (smallGraphs.ts).
 */
export class DeviceKvCache implements KvCache {
  private constructor(
    private readonly specs: readonly StateSpec[],
    private readonly rowGather: GraphSession,
    private tensors: Tensor[],
    public rows: number,
    public length: number,
  ) {}

  static async create(
    specs: readonly StateSpec[],
    prompt: PromptState,
    rows: number,
    rowGather: GraphSession,
  ): Promise<DeviceKvCache> {
    const cache = new DeviceKvCache(specs, rowGather, [], rows, prompt.length);
    cache.tensors = await cache.gather(
      prompt.tensors,
      Array.from({ length: rows }, () => 0),
    );
    return cache;
  }

  bind(feeds: Record<string, Tensor>, fetches: Record<string, Tensor | null>): void {
    this.specs.forEach((spec, i) => {
      feeds[spec.input] = this.tensors[i]!;
      fetches[spec.output] = null;
    });
  }

  advance(outputs: Record<string, Tensor>): void {
    this.dispose();
    this.tensors = this.specs.map((spec) => outputs[spec.output]!);
    this.length++;
  }

  async keepRows(rows: readonly number[]): Promise<void> {
    const kept = await this.gather(this.tensors, rows);
    this.dispose();
    this.tensors = kept;
    this.rows = rows.length;
  }

  dispose(): void {
    for (const tensor of this.tensors) tensor.dispose();
    this.tensors = [];
  }

  private async gather(from: Tensor[], rows: readonly number[]): Promise<Tensor[]> {
    const feeds: Record<string, Tensor> = {
      rows: new Tensor('int64', BigInt64Array.from(rows, BigInt), [rows.length]),
    };
    this.specs.forEach((spec, i) => {
      feeds[spec.input] = from[i]!;
    });
    const outputs = await this.rowGather.run(feeds);
    return this.specs.map((spec) => outputs[`rows.${spec.input}`]!);
  }
}
