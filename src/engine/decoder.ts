import type { Tensor } from 'onnxruntime-node';
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
  readonly hiddenSize: number;
  private readonly specs: StateSpec[];
  /** Set by `probeInPlace`. */
  private inPlace = false;

  /** @param rowGather for a cache that stays on the device; null keeps it in main memory. */
  constructor(
    private readonly graph: GraphSession,
    private readonly embed: GraphSession,
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
    this.hiddenSize = Number(graph.inputs.get('inputs_embeds')!.shape.at(-1));
  }

  get states(): readonly StateSpec[] {
    return this.specs;
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
    let logits = new Float32Array(0);
    this.runs.prefill++;
    for (let start = 0; start < tokens; start += chunkTokens) {
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
      for (const tensor of tensors) tensor.dispose();
      tensors = this.specs.map((spec) => outputs[spec.output]!);
      if (end === tokens) logits = lastLogits(outputs['logits']!);
      outputs['logits']!.dispose();
    }
    checkFinite(logits, 'logits', this.graph.label);
    return { state: { tensors, length: tokens }, logits, nextPosition };
  }

  /** What a prefill occupies, for the bound of a cache. */
  prefillBytes({ state, logits }: Prefill): number {
    const sizes = state.tensors.map(({ size, type }) => size * elementBytes(type));
    return sizes.reduce((sum, bytes) => sum + bytes, logits.byteLength);
  }

  /** Rows that each continue the same prefill. */
  async startRows(prefill: Prefill, rows: number): Promise<RolloutRows> {
    const cache = this.rowGather
      ? await DeviceKvCache.create(this.specs, prefill.state, rows, this.rowGather)
      : new HostKvCache(this.specs, prefill.state, rows, this.inPlace, cacheHeadroomTokens);
    return new RolloutRows(this, cache, prefill.nextPosition);
  }

  /**
   * One token for each row. @returns [rows, vocabulary]
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
    const fetches: Record<string, Tensor | null> = { logits: null };
    cache.bind(feeds, fetches);
    const outputs = await this.graph.run(feeds, fetches);
    cache.advance(outputs);
    this.runs.decode++;
    return floatValues(outputs['logits']!);
  }

  /**
   * Finds out whether the graph appends to a cache that is larger than its content, by decoding one
   * token both ways. GroupQueryAttention does on the CPU; concatenating graphs refuse or differ.
   */
  async probeInPlace(): Promise<void> {
    const ids = [1, 2, 3];
    const positions = Array.from({ length: this.positionAxes }, () => Int32Array.of(0, 1, 2));
    const prefill = await this.prefill(await this.embedTokens(ids), positions, ids.length);
    const decodeTwice = async (inPlace: boolean): Promise<Float32Array> => {
      const cache = new HostKvCache(this.specs, prefill.state, 2, inPlace, 5);
      await this.step([4, 5], 3, cache);
      return Float32Array.from(await this.step([6, 7], 4, cache));
    };
    const expected = await decodeTwice(false);
    const scale = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    try {
      const got = await decodeTwice(true);
      this.inPlace = expected.every((value, i) => Math.abs(value - got[i]!) <= 1e-3 * scale);
    } catch {
      this.inPlace = false; // the graph's shapes don't allow it
    }
    this.runs.prefill = 0;
    this.runs.decode = 0;
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
    private readonly firstPosition: number,
  ) {}

  /** Feeds one token to each row. @returns the logits that follow, [rows, vocabulary] */
  step(tokenIds: readonly number[]): Promise<Float32Array> {
    return this.decoder.step(tokenIds, this.firstPosition + this.steps++, this.cache);
  }

  /** Finished rows leave the batch. @param rows ascending */
  async keep(rows: readonly number[]): Promise<void> {
    if (rows.length < this.cache.rows) await this.cache.keepRows(rows);
  }

  dispose(): void {
    this.cache.dispose();
  }
}

function lastLogits(logits: Tensor): Float32Array<ArrayBuffer> {
  const values = floatValues(logits);
  const vocabulary = logits.dims.at(-1)!;
  return Float32Array.from(values.subarray(values.length - vocabulary));
}
