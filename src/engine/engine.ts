import type { AskProgress, LoadModelProgress } from '../shared/engineProtocol';
import { AvisError } from '../shared/errors';
import type { ModelInfo, RunResult } from '../shared/types';
import { throwIfAborted } from './abort';
import { Answerer, type EncodedImage, type Query } from './answer';
import { type LoadOptions, loadModel, type Model } from './model';

const defaultCacheBytes = 1 << 30;

export interface EngineOptions extends LoadOptions {
  /** Bound of the feature and prefill caches together; 1 GiB by default. */
  cacheBytes?: number;
}

/** One loaded checkpoint. Asks are answered one at a time, in the order in which they came. */
export class Engine {
  private readonly answerer: Answerer;
  private readonly closing = new AbortController();
  private queue: Promise<unknown> = Promise.resolve();
  private waiting = 0;
  /** Reported with the first answer. */
  private unreportedLoadMs: number;

  private constructor(
    private readonly model: Model,
    cacheBytes: number,
  ) {
    this.answerer = new Answerer(model, cacheBytes);
    this.unreportedLoadMs = model.info.loadMs;
  }

  /** @throws {AvisError} 'badModel', 'badInput' (dtype), 'device', 'outOfMemory' or 'canceled'. */
  static async load(
    options: EngineOptions,
    onProgress: (progress: LoadModelProgress) => void = () => {},
    signal?: AbortSignal,
  ): Promise<Engine> {
    const model = await loadModel(options, onProgress, signal);
    return new Engine(model, options.cacheBytes ?? defaultCacheBytes);
  }

  get info(): ModelInfo {
    return this.model.info;
  }

  /** Graph runs so far; what came from a cache is not in them. */
  get runs(): { vision: number } & Model['decoder']['runs'] {
    return { vision: this.model.vision.runs, ...this.model.decoder.runs };
  }

  /**
   * Answers one question about one image.
   * @throws {AvisError} 'badInput', 'canceled', 'device', 'outOfMemory' or 'badModel'; the engine stays
   * usable.
   */
  ask(
    query: Query,
    onProgress: (progress: AskProgress) => void = () => {},
    signal?: AbortSignal,
  ): Promise<RunResult> {
    if (this.waiting > 0) onProgress({ type: 'askStage', stage: 'queued' });
    return this.enqueue(async (either) => {
      const result = await this.answerer.answer(query, onProgress, either);
      const load = this.unreportedLoadMs;
      this.unreportedLoadMs = 0;
      return { ...result, timing: { ...result.timing, load, total: result.timing.total + load } };
    }, signal);
  }

  /**
   * What the vision encoder gives for an image: features and key-diversity scores.
   * @throws {AvisError} as `ask`.
   */
  encode(image: Query['image'], signal?: AbortSignal): Promise<EncodedImage> {
    return this.enqueue((either) => this.answerer.encode(image, either), signal);
  }

  /** Stops what runs and waits, then frees the sessions. */
  async dispose(): Promise<void> {
    this.closing.abort(new AvisError('engineStopped', 'The model was unloaded.'));
    await this.queue;
    this.answerer.dispose();
    await this.model.release();
  }

  private enqueue<Value>(
    job: (signal: AbortSignal) => Promise<Value>,
    signal: AbortSignal | undefined,
  ): Promise<Value> {
    const { signal: closing } = this.closing;
    const either = signal ? AbortSignal.any([signal, closing]) : closing;
    this.waiting++;
    const run = this.queue
      .then(() => {
        throwIfAborted(either);
        return job(either);
      })
      .finally(() => this.waiting--);
    this.queue = run.catch(() => {});
    return run;
  }
}
