/**
 * The channel between the extension host and the panel (webview postMessage). Plain messages both
 * ways, no replies: the host owns the runs and pushes what changed; the panel shows them and says what
 * the person wants. The host posts nothing before `ready`.
 */
import type { AskProgress } from './engineProtocol';
import type { ErrorData } from './errors';
import type { AskSettings, ModelInfo, RunResult } from './types';

/** `vanilla` is the "measure vanilla" action: ρ = 0, K = 1 for the same query. */
export type RunPurpose = 'run' | 'vanilla';

export interface RunRecord {
  /** Counts up within one panel; shown as #1, #2, …. */
  id: number;
  purpose: RunPurpose;
  /** Milliseconds since the epoch. */
  startedAt: number;
  result: RunResult;
}

export type ModelState =
  | { status: 'loading'; message: string }
  /** `stopping`: a canceled run has not come to the end of its stage. */
  | { status: 'ready'; model: ModelInfo; stopping: boolean }
  | { status: 'unloaded' }
  | { status: 'failed'; error: ErrorData };

/** What the panel keeps with `setState` and the serializer hands back after a window reload. */
export interface PanelState {
  /** URI of the image, as a string. */
  image: string;
  question: string;
  settings: AskSettings;
  runs: RunRecord[];
  view: PanelViewState;
}

export interface PanelViewState {
  selectedRun: number | null;
  comparedRun: number | null;
  overlayOpacity: number;
}

export type HostMessage =
  | {
      type: 'showSubject';
      /** `webviewSrc` is empty where `showImage` is to tell it. */
      image: { uri: string; webviewSrc: string; name: string };
      question: string;
      recentQuestions: string[];
      settings: AskSettings;
      runs: RunRecord[];
      view: PanelViewState | null;
      model: ModelState;
      autoRun: boolean;
    }
  | { type: 'showImage'; webviewSrc: string }
  | { type: 'updateModel'; model: ModelState }
  | { type: 'startRun'; id: number; purpose: RunPurpose; question: string; settings: AskSettings }
  | { type: 'updateRun'; id: number; progress: AskProgress }
  | { type: 'finishRun'; record: RunRecord }
  | { type: 'failRun'; id: number; error: ErrorData }
  /** An imported configuration or a changed VS Code setting; null leaves a part as it is. */
  | {
      type: 'applySettings';
      settings: AskSettings | null;
      autoRun: boolean | null;
      note: string | null;
    };

export type PanelMessage =
  | { type: 'ready' }
  | { type: 'ask'; purpose: RunPurpose; question: string; settings: AskSettings }
  | { type: 'cancelRun' }
  | { type: 'exportConfig'; runId: number; to: 'file' | 'clipboard' | 'flags' }
  | { type: 'chooseModel' }
  | { type: 'retryEngine' }
  | { type: 'showLog' };
