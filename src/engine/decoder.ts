import { Tensor } from 'onnxruntime-node';
import { AvisError } from '../shared/errors';
import { yieldToEvents } from './abort';
import {
  AppendedKvCache,
  appendedOutput,
  emptyStates,
  FedBackKvCache,
  type GatherRows,
  gatherDeviceRows,
  gatherHostRows,
  type KvCache,
  type PromptState,
  type StateSpec,
  stateSpecs,
} from './kvCache';
import { checkFinite, type GraphSession, type TensorSpec } from './session';
import { elementBytes, floatTensor, floatValues, integerTensor } from './tensors';

/** Longest piece of a prompt in one run: bounds the logits' memory and the time to a cancellation. */
export const prefillChunkTokens = 512;

/** A prefilled prompt: everything that rollouts need, computed once. */
export interface Prefill {
  state: PromptState;
  /** [vocabulary], of the last prompt position. */
  logits: Float32Array;
  /** Position of the first decoded token on every axis. */
  nextPosition: number;
}

/** Runs embed_tokens and decoder_model_merged. */
export class Decoder {
  /** `decodedRows`: of all decoding runs together. */
  readonly runs = { prefill: 0, decode: 0, decodedRows: 0 };
  private readonly specs: StateSpec[];
  private readonly gatherRows: GatherRows;
  /** Set by `probe`. */
  private appending = false;
  /** Cut to size for each run's attention mask. */
  private ones: BigInt64Array | Int32Array = new BigInt64Array(0);

  /** @param rowGather for a cache that stays on the device; null keeps it in main memory. */
  constructor(
    private readonly graph: GraphSession,
    private readonly embed: GraphSession,
    private readonly hiddenSize: number,
    rowGather: GraphSession | null,
  ) {
    for (const name of ['inputs_embeds', 'attention_mask']) this.requireInput(name);
    const [ids] = embed.inputs.values();
    if (ids?.type !== 'int64' && ids?.type !== 'int32') {
      throw new AvisError(
        'badModel',
        `${embed.label} takes ${ids ? `${ids.name} (${ids.type})` : 'nothing'} where token ids are expected. It is another graph; get the checkpoint again.`,
      );
    }
    if (!graph.outputs.has('logits')) {
      throw new AvisError('badModel', `${graph.label} has no output named logits.`);
    }
    this.specs = stateSpecs(graph);
    this.gatherRows = rowGather ? gatherDeviceRows(this.specs, rowGather) : gatherHostRows;
  }

  get states(): readonly StateSpec[] {
    return this.specs;
  }

  /** Without them the graph numbers the tokens that it sees, pruned or not. */
  get takesPositions(): boolean {
    return this.graph.inputs.has('position_ids');
  }

  /** Whether a step gives back the new keys and values alone. */
  get appends(): boolean {
    return this.appending;
  }

  /** [ids.length, hidden] */
  async embedTokens(ids: readonly number[]): Promise<Float32Array> {
    const spec = [...this.embed.inputs.values()][0]!;
    const outputs = await this.embed.run({
      [spec.name]: integerTensor(spec, ids, [1, ids.length]),
    });
    return floatValues(Object.values(outputs)[0]!);
  }

  /**
   * Runs the prompt once.
   * @param embeddings [tokens, hidden]
   * @param positions for each axis [tokens]
   * @throws {AvisError} 'badModel' for NaN logits; 'canceled' between chunks.
   */
  async prefill(
    embeddings: Float32Array,
    positions: readonly Int32Array[],
    nextPosition: number,
    signal?: AbortSignal,
    chunkTokens = prefillChunkTokens,
  ): Promise<Prefill> {
    const tokens = embeddings.length / this.hiddenSize;
    let tensors = emptyStates(this.specs);
    const fetches = ['logits', ...this.specs.map(({ output }) => output)];
    this.runs.prefill++;
    try {
      for (let start = 0; ; start += chunkTokens) {
        await yieldToEvents(signal);
        const end = Math.min(start + chunkTokens, tokens);
        const feeds = this.feeds(
          embeddings.subarray(start * this.hiddenSize, end * this.hiddenSize),
          1,
          end,
          positions.map((axis) => axis.subarray(start, end)),
        );
        this.specs.forEach((spec, i) => {
          feeds[spec.input] = tensors[i]!;
        });
        const outputs = await this.graph.run(feeds, fetches);
        disposeAll(tensors);
        tensors = this.specs.map((spec) => outputs[spec.output]!);
        if (end < tokens) continue;
        const logits = lastLogits(outputs['logits']!);
        checkFinite(logits, 'logits', this.graph.label);
        return { state: { tensors, length: tokens }, logits, nextPosition };
      }
    } catch (error) {
      disposeAll(tensors);
      throw error;
    }
  }

  /** What a prefill occupies, for the bound of a cache. */
  prefillBytes({ state, logits }: Prefill): number {
    const sizes = state.tensors.map(({ size, type }) => size * elementBytes(type));
    return sizes.reduce((sum, bytes) => sum + bytes, logits.byteLength);
  }

  /** Rows that each continue the same prefill. */
  async startRows(prefill: Prefill, rows: number): Promise<RolloutRows> {
    const cache = await this.createCache(prefill.state, rows);
    return new RolloutRows(this, cache, prefill.nextPosition);
  }

  /**
   * One token for each row.
   * @returns [rows, vocabulary]
   * @internal for RolloutRows
   */
  async step(tokenIds: readonly number[], position: number, cache: KvCache): Promise<Float32Array> {
    const rows = tokenIds.length;
    const axes = this.positionAxes;
    const feeds = this.feeds(
      await this.embedTokens(tokenIds),
      rows,
      cache.length + 1,
      Array.from({ length: axes }, () => new Int32Array(rows).fill(position)),
    );
    cache.bind(feeds);
    const outputs = await this.graph.run(feeds, ['logits', ...cache.fetches]);
    cache.advance(outputs);
    this.runs.decode++;
    this.runs.decodedRows += rows;
    return floatValues(outputs['logits']!);
  }

  /**
   * Decodes a few tokens. On the CPU it finds out whether the graph takes a cache with room and gives
   * back what to write there, by decoding both ways.
   * @throws {AvisError} when the graph doesn't run, or gives NaN.
   */
  async probe(): Promise<void> {
    const ids = [1, 2, 3];
    const positions = Array.from({ length: this.positionAxes }, () => Int32Array.of(0, 1, 2));
    const prefill = await this.prefill(await this.embedTokens(ids), positions, ids.length);
    const decodeTwice = async (): Promise<Float32Array> => {
      const cache = await this.createCache(prefill.state, 2);
      await this.step([4, 5], 3, cache);
      const logits = await this.step([6, 7], 4, cache);
      cache.dispose();
      return logits;
    };
    const expected = await decodeTwice();
    checkFinite(expected, 'logits', this.graph.label);
    this.appending =
      this.graph.device === 'cpu' &&
      this.graph.outputs.has(appendedOutput) &&
      this.specs.every(({ grows, type }) => grows && type === 'float32');
    if (this.appending) {
      const scale = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const got = await decodeTwice().catch(() => null);
      this.appending =
        got !== null && expected.every((value, i) => Math.abs(value - got[i]!) <= 1e-3 * scale);
    }
    disposeAll(prefill.state.tensors);
    Object.assign(this.runs, { prefill: 0, decode: 0, decodedRows: 0 });
  }

  private async createCache(prompt: PromptState, rows: number): Promise<KvCache> {
    return this.appending
      ? new AppendedKvCache(this.specs, prompt, rows)
      : FedBackKvCache.create(this.specs, prompt, rows, this.gatherRows);
  }

  private get positionAxes(): number {
    return this.graph.inputs.get('position_ids')?.shape.length === 3 ? 3 : 1;
  }

  private feeds(
    embeddings: Float32Array,
    rows: number,
    totalTokens: number,
    positions: readonly Int32Array[],
  ): Record<string, Tensor> {
    const { inputs } = this.graph;
    const tokens = embeddings.length / this.hiddenSize / rows;
    const feeds: Record<string, Tensor> = {
      inputs_embeds: floatTensor(inputs.get('inputs_embeds')!, embeddings, [
        rows,
        tokens,
        this.hiddenSize,
      ]),
      attention_mask: this.onesTensor(inputs.get('attention_mask')!, [rows, totalTokens]),
    };
    const positionIds = inputs.get('position_ids');
    if (positionIds) {
      const values = new Int32Array(positions.length * rows * tokens);
      positions.forEach((axis, i) => values.set(axis, i * rows * tokens));
      const dims = positions.length === 1 ? [rows, tokens] : [positions.length, rows, tokens];
      feeds['position_ids'] = integerTensor(positionIds, values, dims);
    }
    const keep = inputs.get('num_logits_to_keep');
    if (keep) feeds[keep.name] = integerTensor(keep, [1], keep.shape.length ? [1] : []);
    return feeds;
  }

  private onesTensor(spec: TensorSpec, dims: [number, number]): Tensor {
    const size = dims[0] * dims[1];
    if (this.ones.length < size) {
      const ones = new Uint8Array(2 * size).fill(1);
      this.ones = integerTensor(spec, ones, [ones.length]).data as BigInt64Array | Int32Array;
    }
    return new Tensor(spec.type as 'int32', this.ones.subarray(0, size) as Int32Array, dims);
  }

  private requireInput(name: string): void {
    if (!this.graph.inputs.has(name)) {
      throw new AvisError('badModel', `${this.graph.label} has no input named ${name}.`);
    }
  }
}

/** The batch of running rollouts. */
export class RolloutRows {
  private steps = 0;

  constructor(
    private readonly decoder: Decoder,
    private readonly cache: KvCache,
    private readonly nextPosition: number,
  ) {}

  /**
   * Feeds one token to each row.
   * @returns the logits that follow, [rows, vocabulary]
   */
  step(tokenIds: readonly number[]): Promise<Float32Array> {
    return this.decoder.step(tokenIds, this.nextPosition + this.steps++, this.cache);
  }

  /** Puts these rows in the place of all. One may be listed several times. */
  async keep(rows: readonly number[]): Promise<void> {
    const same = rows.length === this.cache.rows && rows.every((row, i) => row === i);
    if (!same) await this.cache.keepRows(rows);
  }

  dispose(): void {
    this.cache.dispose();
  }
}

function disposeAll(tensors: readonly Tensor[]): void {
  for (const tensor of tensors) tensor.dispose();
}

/** Of a graph that gives logits for every position, only the last is turned into floats. */
function lastLogits(logits: Tensor): Float32Array {
  const vocabulary = logits.dims.at(-1)!;
  const data = logits.data as Float32Array;
  const last = data.slice(data.length - vocabulary);
  return floatValues(new Tensor(logits.type as 'float32', last, [vocabulary]));
}
