import type { AskProgress, LoadModelProgress } from '../shared/engineProtocol';
import { AvisError } from '../shared/errors';
import type { AskSettings, DeviceSetting, ModelInfo, RunResult } from '../shared/types';

export interface EngineOptions {
  /** Absolute path of the checkpoint folder. */
  folder: string;
  device: DeviceSetting;
  /** Preferred dtype variant; 'auto' chooses by device and what is present. */
  dtype: string;
  /** Where edited graphs and file hashes are kept. */
  cacheFolder: string;
  /** Bound of the feature and prefill caches together. */
  cacheBytes?: number;
}

export interface Query {
  image: { name: string; bytes: Uint8Array };
  question: string;
  settings: AskSettings;
}

/** One loaded checkpoint. Asks are answered one at a time, in the order in which they came. */
export class Engine {
  private constructor(readonly info: ModelInfo) {}

  /** @throws {AvisError} 'badModel', 'device', 'outOfMemory' or 'canceled'. */
  static load(
    _options: EngineOptions,
    _onProgress: (progress: LoadModelProgress) => void = () => {},
    _signal?: AbortSignal,
  ): Promise<Engine> {
    throw new AvisError('internal', 'The engine is not there yet.');
  }

  /**
   * Answers one question about one image.
   * @throws {AvisError} 'badInput', 'canceled', 'device', 'outOfMemory' or 'badModel'; the engine stays
   * usable.
   */
  ask(
    _query: Query,
    _onProgress: (progress: AskProgress) => void = () => {},
    _signal?: AbortSignal,
  ): Promise<RunResult> {
    throw new AvisError('internal', 'The engine is not there yet.');
  }

  /** Waits for the running ask to stop, then frees the sessions. */
  async dispose(): Promise<void> {}
}
