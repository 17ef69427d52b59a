/**
 * The panel's one state object and how messages change it.
 *
 *   HostMessage ─ applyHostMessage ─┐
 *   the person's acts ──────────────┴─ PanelModel ─ selectors ─ the sections' render functions
 */
import type { AskProgress, AskStage } from '../src/shared/engineProtocol';
import type { ErrorData } from '../src/shared/errors';
import type {
  HostMessage,
  ModelState,
  PanelState,
  PanelViewState,
  RunPurpose,
  RunRecord,
} from '../src/shared/panelProtocol';
import type {
  AskSettings,
  DifficultyResult,
  ModelInfo,
  RolloutResult,
  VisualResult,
} from '../src/shared/types';

/** A rollout as it is decoded; `result` once it has ended. */
export interface LiveRollout {
  index: number;
  text: string;
  tokens: number;
  result: RolloutResult | null;
}

/** The run in progress, as far as it has come. */
export interface LiveRun {
  id: number;
  purpose: RunPurpose;
  question: string;
  settings: AskSettings;
  stage: AskStage | null;
  image: { width: number; height: number } | null;
  visual: VisualResult | null;
  difficulty: DifficultyResult | null;
  rollouts: LiveRollout[];
}

export type Notice = { kind: 'error'; error: ErrorData } | { kind: 'info'; text: string };

/** A question and the levers. */
export interface Draft {
  question: string;
  settings: AskSettings;
}

/** What this panel keeps: what the host hands back, and the draft that the host last named. */
export interface SavedPanel extends PanelState {
  fromHost: HostDraft | null;
  autoRun: boolean;
  knownModel: ModelInfo | null;
}

/** The draft, and whether to run on release, as the host last named them. */
interface HostDraft extends Draft {
  autoRun: boolean;
}

export interface PanelModel {
  subject: { uri: string; webviewSrc: string; name: string } | null;
  recentQuestions: string[];
  modelState: ModelState;
  /** The model that was loaded last: predictions go on while it is unloaded. */
  knownModel: ModelInfo | null;
  /** What the question box and the levers say; the next run asks this. */
  question: string;
  settings: AskSettings | null;
  fromHost: HostDraft | null;
  /** The panel's own requests, oldest first: their `startRun` must not undo a lever moved since. */
  asked: readonly Draft[];
  autoRun: boolean;
  runs: RunRecord[];
  live: LiveRun | null;
  notice: Notice | null;
  view: PanelViewState;
}

const initialView: PanelViewState = {
  selectedRun: null,
  comparedRun: null,
  overlayOpacity: 0.6,
};

export const emptyModel: PanelModel = {
  subject: null,
  recentQuestions: [],
  modelState: { status: 'unloaded' },
  knownModel: null,
  question: '',
  settings: null,
  fromHost: null,
  asked: [],
  autoRun: true,
  runs: [],
  live: null,
  notice: null,
  view: initialView,
};

/**
 * @param saved what this panel kept before it was hidden or reloaded. Its draft wins over a
 * `showSubject` that names nothing newer: the levers may have been moved without a run.
 */
export function applyHostMessage(
  model: PanelModel,
  message: HostMessage,
  saved: SavedPanel | undefined,
): PanelModel {
  switch (message.type) {
    case 'showSubject': {
      const { question, settings, autoRun } = message;
      const kept = saved?.image === message.image.uri ? saved : null;
      const view = kept?.view ?? message.view ?? initialView;
      const known = kept?.fromHost;
      return {
        subject: message.image,
        recentQuestions: message.recentQuestions,
        modelState: message.model,
        knownModel: readyModel(message.model) ?? kept?.knownModel ?? null,
        question: kept && known?.question === question ? kept.question : question,
        settings:
          kept && known && sameSettings(known.settings, settings) ? kept.settings : settings,
        fromHost: { question, settings, autoRun },
        asked: [],
        autoRun: kept && known?.autoRun === autoRun ? kept.autoRun : autoRun,
        runs: message.runs,
        live: null,
        notice: noticeOfModel(message.model, null),
        view: viewOfRuns(view, message.runs),
      };
    }
    case 'showImage': {
      const { webviewSrc } = message;
      return { ...model, subject: model.subject && { ...model.subject, webviewSrc } };
    }
    case 'updateModel':
      return {
        ...model,
        modelState: message.model,
        knownModel: readyModel(message.model) ?? model.knownModel,
        notice: noticeOfModel(message.model, withoutModelNotice(model)),
      };
    case 'startRun': {
      const live: LiveRun = {
        id: message.id,
        purpose: message.purpose,
        question: message.question,
        settings: message.settings,
        stage: null,
        image: null,
        visual: null,
        difficulty: null,
        rollouts: [],
      };
      if (message.purpose === 'vanilla') return { ...model, live, notice: null };
      const draft: Draft = { question: message.question, settings: message.settings };
      const own = model.asked.findIndex((asked) => sameDraft(asked, draft));
      // A page that was hidden hears of a run again; the draft that it kept may be newer.
      const known = own >= 0 || (model.fromHost !== null && sameDraft(model.fromHost, draft));
      return {
        ...model,
        ...(known ? {} : draft),
        asked: model.asked.slice(own + 1),
        fromHost: { ...draft, autoRun: model.fromHost?.autoRun ?? model.autoRun },
        live,
        notice: null,
        view: { ...model.view, selectedRun: null, comparedRun: null },
      };
    }
    case 'updateRun':
      if (model.live?.id !== message.id) return model;
      return { ...model, live: applyProgress(model.live, message.progress) };
    case 'finishRun':
      return {
        ...model,
        live: model.live?.id === message.record.id ? null : model.live,
        runs: [...model.runs.filter((run) => run.id !== message.record.id), message.record],
      };
    case 'failRun': {
      const { code } = message.error;
      const quiet = code === 'canceled' || code === 'superseded';
      return {
        ...model,
        live: model.live?.id === message.id ? null : model.live,
        notice: quiet ? model.notice : { kind: 'error', error: message.error },
      };
    }
    case 'applySettings':
      return {
        ...model,
        settings: message.settings ?? model.settings,
        fromHost: model.fromHost && {
          ...model.fromHost,
          settings: message.settings ?? model.fromHost.settings,
          autoRun: message.autoRun ?? model.fromHost.autoRun,
        },
        autoRun: message.autoRun ?? model.autoRun,
        notice: message.note === null ? model.notice : { kind: 'info', text: message.note },
      };
    default:
      return message satisfies never;
  }
}

function readyModel(state: ModelState): ModelInfo | null {
  return state.status === 'ready' ? state.model : null;
}

function noticeOfModel(state: ModelState, otherwise: Notice | null): Notice | null {
  return state.status === 'failed' ? { kind: 'error', error: state.error } : otherwise;
}

/** The notice, unless it tells of a model state that is over. */
function withoutModelNotice({ modelState, notice }: PanelModel): Notice | null {
  const isOfModel =
    modelState.status === 'failed' &&
    notice?.kind === 'error' &&
    notice.error.message === modelState.error.message;
  return isOfModel ? null : notice;
}

function applyProgress(live: LiveRun, progress: AskProgress): LiveRun {
  switch (progress.type) {
    case 'askStage':
      return { ...live, stage: progress.stage };
    case 'visual':
      return { ...live, image: progress.image, visual: progress.visual };
    case 'difficulty':
      return { ...live, difficulty: progress.difficulty };
    case 'rolloutText': {
      const { index, text, tokens } = progress;
      return withRollout(live, { index, text, tokens, result: null });
    }
    case 'rolloutDone': {
      const { rollout } = progress;
      const { index, text, tokens } = rollout;
      return withRollout(live, { index, text, tokens, result: rollout });
    }
    default:
      return progress satisfies never;
  }
}

function withRollout(live: LiveRun, rollout: LiveRollout): LiveRun {
  const others = live.rollouts.filter((other) => other.index !== rollout.index);
  return { ...live, rollouts: [...others, rollout].sort((a, b) => a.index - b.index) };
}

/** Drops selections of runs that are no longer there. */
function viewOfRuns(view: PanelViewState, runs: readonly RunRecord[]): PanelViewState {
  const known = (id: number | null) => (runs.some((run) => run.id === id) ? id : null);
  return {
    selectedRun: known(view.selectedRun),
    comparedRun: known(view.comparedRun),
    overlayOpacity: view.overlayOpacity,
  };
}

/** Shows a run again: its levers and question return with it. */
export function selectRun(model: PanelModel, id: number): PanelModel {
  const run = model.runs.find((candidate) => candidate.id === id);
  if (!run) return model;
  const comparedRun = model.view.comparedRun === id ? null : model.view.comparedRun;
  return {
    ...model,
    question: run.result.question,
    settings: run.result.settings,
    view: { ...model.view, selectedRun: id, comparedRun },
  };
}

/** Turns back to the run in progress. */
export function selectLive(model: PanelModel): PanelModel {
  const { live } = model;
  if (!live) return model;
  const view = { ...model.view, selectedRun: null, comparedRun: null };
  return { ...model, question: live.question, settings: live.settings, view };
}

/** Puts a run beside the shown one, or takes it away again. */
export function toggleCompared(model: PanelModel, id: number): PanelModel {
  const shown = shownRecord(model);
  if (!shown || shown.id === id || !model.runs.some((run) => run.id === id)) return model;
  const comparedRun = model.view.comparedRun === id ? null : id;
  return { ...model, view: { ...model.view, selectedRun: shown.id, comparedRun } };
}

/** The finished run on show: the selected one, else the latest that isn't a vanilla measurement. */
export function shownRecord(model: PanelModel): RunRecord | null {
  const selected = model.runs.find((run) => run.id === model.view.selectedRun);
  if (selected) return selected;
  const latest = model.runs.findLast((run) => run.purpose === 'run');
  return latest ?? model.runs.at(-1) ?? null;
}

export function comparedRecord(model: PanelModel): RunRecord | null {
  return model.runs.find((run) => run.id === model.view.comparedRun) ?? null;
}

/** The run in progress when it is what the person looks at. */
export function shownLive(model: PanelModel): LiveRun | null {
  return model.live?.purpose === 'run' && model.view.selectedRun === null ? model.live : null;
}

/** The latest scores known for this image; they don't depend on the question. */
export function shownVisual(
  model: PanelModel,
): { image: { width: number; height: number }; visual: VisualResult } | null {
  const live = shownLive(model);
  if (live?.visual && live.image) return { image: live.image, visual: live.visual };
  const record = shownRecord(model);
  return record ? { image: record.result.image, visual: record.result.visual } : null;
}

/** What `setState` keeps; null before there is anything to keep. */
export function stateToKeep(model: PanelModel): SavedPanel | null {
  const { subject, question, settings, runs, view, fromHost, autoRun, knownModel } = model;
  if (!subject || !settings) return null;
  const image = subject.uri;
  return { image, question, settings, runs, view, fromHost, autoRun, knownModel };
}

/** Whether two settings ask the same of the engine (both hold plain data only). */
export function sameSettings(a: AskSettings, b: AskSettings): boolean {
  const keys = Object.keys(a) as (keyof AskSettings)[];
  return keys.every((key) => JSON.stringify(a[key]) === JSON.stringify(b[key]));
}

function sameDraft(a: Draft, b: Draft): boolean {
  return a.question === b.question && sameSettings(a.settings, b.settings);
}
