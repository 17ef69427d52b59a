import { Tensor } from 'onnxruntime-node';
import { AvisError } from '../shared/errors';
import { yieldToEvents } from './abort';
import {
  DeviceKvCache,
  emptyStates,
  HostKvCache,
  type KvCache,
  type PromptState,
  type StateSpec,
  stateSpecs,
} from './kvCache';
import { checkFinite, type GraphSession } from './session';
import { elementBytes, floatTensor, floatValues, integerTensor } from './tensors';

/** Longest piece of a prompt in one run: bounds the logits' memory and the time to a cancellation. */
const prefillChunkTokens = 512;
/** Room for decoded tokens that a cache starts with. */
const cacheHeadroomTokens = 128;

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
  readonly runs = { prefill: 0, decode: 0 };
  private readonly specs: StateSpec[];
  /** Set by `probe`. */
  private inPlace = false;
  /** Where steps put their logits: with a vocabulary of 150,000 that is megabytes a step. */
  private stepLogits = new Float32Array(0);

  /** @param rowGather for a cache that stays on the device; null keeps it in main memory. */
  constructor(
    private readonly graph: GraphSession,
    private readonly embed: GraphSession,
    private readonly hiddenSize: number,
    private readonly rowGather: GraphSession | null,
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
  }

  get states(): readonly StateSpec[] {
    return this.specs;
  }

  /** Without them the graph numbers the tokens that it sees, pruned or not. */
  get takesPositions(): boolean {
    return this.graph.inputs.has('position_ids');
  }

  /** Whether the cache is appended to in place. */
  get appendsInPlace(): boolean {
    return this.inPlace;
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
        const outputs = await this.graph.run(feeds);
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
    return new RolloutRows(this, cache, prefill);
  }

  /**
   * One token for each row.
   * @returns [rows, vocabulary], valid until the next step
   * @internal for RolloutRows
   */
  async step(
    tokenIds: readonly number[],
    position: number,
    cache: KvCache,
    vocabulary: number,
  ): Promise<Float32Array> {
    const rows = tokenIds.length;
    const axes = this.positionAxes;
    const feeds = this.feeds(
      await this.embedTokens(tokenIds),
      rows,
      cache.length + 1,
      Array.from({ length: axes }, () => new Int32Array(rows).fill(position)),
    );
    const fetches = { logits: this.logitsTensor(rows, vocabulary) };
    cache.bind(feeds, fetches);
    const outputs = await this.graph.run(feeds, fetches);
    cache.advance(outputs);
    this.runs.decode++;
    return floatValues(outputs['logits']!);
  }

  /**
   * Decodes a few tokens. On the CPU it finds out whether the graph appends to a cache that is larger
   * than its content, by decoding both ways: GroupQueryAttention does, concatenating graphs refuse or
   * differ.
   * @throws {AvisError} when the graph doesn't run, or gives NaN.
   */
  async probe(): Promise<void> {
    const ids = [1, 2, 3];
    const positions = Array.from({ length: this.positionAxes }, () => Int32Array.of(0, 1, 2));
    const prefill = await this.prefill(await this.embedTokens(ids), positions, ids.length);
    const decodeTwice = async (cache: KvCache): Promise<Float32Array> => {
      const vocabulary = prefill.logits.length;
      await this.step([4, 5], 3, cache, vocabulary);
      const logits = Float32Array.from(await this.step([6, 7], 4, cache, vocabulary));
      cache.dispose();
      return logits;
    };
    const expected = await decodeTwice(await this.createCache(prefill.state, 2));
    checkFinite(expected, 'logits', this.graph.label);
    if (this.graph.device === 'cpu') {
      const scale = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      try {
        const got = await decodeTwice(new HostKvCache(this.specs, prefill.state, 2, true, 5));
        this.inPlace = expected.every((value, i) => Math.abs(value - got[i]!) <= 1e-3 * scale);
      } catch {
        this.inPlace = false; // the graph's shapes don't allow it
      }
    }
    disposeAll(prefill.state.tensors);
    this.runs.prefill = 0;
    this.runs.decode = 0;
  }

  private async createCache(prompt: PromptState, rows: number): Promise<KvCache> {
    return this.rowGather
      ? DeviceKvCache.create(this.specs, prompt, rows, this.rowGather)
      : new HostKvCache(this.specs, prompt, rows, this.inPlace, cacheHeadroomTokens);
  }

  /** null lets onnxruntime allocate. */
  private logitsTensor(rows: number, vocabulary: number): Tensor | null {
    if (this.rowGather || this.graph.outputs.get('logits')!.type !== 'float32') return null;
    const size = rows * vocabulary;
    if (this.stepLogits.length < size) this.stepLogits = new Float32Array(size);
    return new Tensor('float32', this.stepLogits.subarray(0, size), [rows, 1, vocabulary]);
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
      attention_mask: integerTensor(
        inputs.get('attention_mask')!,
        new Uint8Array(rows * totalTokens).fill(1),
        [rows, totalTokens],
      ),
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
    private readonly prefill: Prefill,
  ) {}

  /**
   * Feeds one token to each row.
   * @returns the logits that follow, [rows, vocabulary], valid until the next step
   */
  step(tokenIds: readonly number[]): Promise<Float32Array> {
    const { nextPosition, logits } = this.prefill;
    return this.decoder.step(tokenIds, nextPosition + this.steps++, this.cache, logits.length);
  }

  /** Finished rows leave the batch. @param rows ascending */
  async keep(rows: readonly number[]): Promise<void> {
    if (rows.length < this.cache.rows) await this.cache.keepRows(rows);
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
