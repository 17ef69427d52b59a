/**
 * The channel between the extension host and the engine process (child-process IPC, advanced
 * serialization). The host sends requests and cancellations; the engine process answers each request
 * exactly once and may send progress for it before. See rpc.ts for the envelope.
 */
import type {
  AskSettings,
  DeviceSetting,
  DifficultyResult,
  ModelInfo,
  RolloutResult,
  RunResult,
  VisualResult,
} from './types';

export interface LoadModelRequest {
  type: 'loadModel';
  /** Absolute path of the checkpoint folder. */
  folder: string;
  device: DeviceSetting;
  /** Preferred dtype variant ('auto' lets the engine choose by device and what is present). */
  dtype: string;
  /** Where edited graphs are kept, by content hash. */
  cacheFolder: string;
}

export interface AskRequest {
  type: 'ask';
  image: {
    /** For messages only. */
    name: string;
    bytes: Uint8Array;
  };
  question: string;
  settings: AskSettings;
}

/** For formats that a browser can't show; needs no model. */
export interface PreviewImageRequest {
  type: 'previewImage';
  image: AskRequest['image'];
  /** The picture is scaled down so that neither side is longer. */
  maxSidePx: number;
}

export interface UnloadModelRequest {
  type: 'unloadModel';
}

export type EngineRequest =
  LoadModelRequest | AskRequest | PreviewImageRequest | UnloadModelRequest;

export interface EngineReplies {
  loadModel: ModelInfo;
  ask: RunResult;
  previewImage: { png: Uint8Array };
  unloadModel: null;
}

export type LoadModelProgress = {
  type: 'loadStage';
  /** For people: "Reading the vision encoder", "Probing webgpu". */
  message: string;
};

export type AskStage = 'queued' | 'decodeImage' | 'vision' | 'prefill' | 'rollouts';

/** In the order in which they come: askStage…, visual, difficulty, rolloutText…/rolloutDone…. */
export type AskProgress =
  | { type: 'askStage'; stage: AskStage }
  | { type: 'visual'; image: { width: number; height: number }; visual: VisualResult }
  | { type: 'difficulty'; difficulty: DifficultyResult }
  /** `text` and `tokens` are all of this rollout so far, so that a skipped message loses nothing. */
  | { type: 'rolloutText'; index: number; text: string; tokens: number }
  | { type: 'rolloutDone'; rollout: RolloutResult };

export interface EngineProgress {
  loadModel: LoadModelProgress;
  ask: AskProgress;
  previewImage: never;
  unloadModel: never;
}
