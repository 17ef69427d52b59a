/**
 * One image and the runs asked about it: what a panel shows. Owns the runs, so that a hidden, reloaded
 * or slow panel loses none of them. No `vscode` in it.
 */
import { vanillaSettings } from '../avis/settings';
import type { AskProgress } from '../shared/engineProtocol';
import { AvisError, type ErrorData, toErrorData } from '../shared/errors';
import type { HostMessage, PanelViewState, RunPurpose, RunRecord } from '../shared/panelProtocol';
import type { AskSettings, ModelInfo, RunResult } from '../shared/types';
import type { EngineClient, ModelChoice } from './engineClient';
import { raceAbort } from './raceAbort';

export interface ImageSessionOptions {
  engine: Pick<EngineClient, 'ask' | 'load' | 'state'>;
  /** The image as it is now. Throws an AvisError with the reason when it can't be read. */
  readImage: () => Promise<{ name: string; bytes: Uint8Array }>;
  modelChoice: () => ModelChoice;
  /** What a new panel starts with, given the model's own policy. */
  startSettings: (policy: ModelInfo['policy']) => AskSettings;
  post: (message: HostMessage) => void;
}

interface ActiveRun {
  id: number;
  purpose: RunPurpose;
  question: string;
  settings: AskSettings;
  controller: AbortController;
  progress: Map<string, AskProgress>;
}

/** At most one text message per rollout and this many milliseconds goes to the panel. */
const textIntervalMs = 40;

export class ImageSession {
  question = '';
  /** Null until the first run or an imported configuration sets them. */
  settings: AskSettings | null = null;
  runs: RunRecord[] = [];
  /** The model of each run of this window, for the export. */
  readonly models = new Map<number, ModelInfo>();
  private active: ActiveRun | undefined;
  /** The newest run, when it failed: a panel that comes later must hear of it. */
  private failed: { id: number; error: ErrorData } | undefined;
  private last: { question: string; settings: AskSettings | null; purpose: RunPurpose } | undefined;
  private nextId = 1;
  private heldTexts = new Map<number, AskProgress>();
  private textTimer: NodeJS.Timeout | undefined;

  constructor(private readonly options: ImageSessionOptions) {}

  /** Takes over what a panel had before the window was reloaded. */
  restore(state: { question: string; settings: AskSettings; runs: RunRecord[] }): void {
    this.question = state.question;
    this.settings = state.settings;
    this.runs = state.runs;
    this.nextId = Math.max(0, ...state.runs.map((run) => run.id)) + 1;
  }

  get currentSettings(): AskSettings {
    const { state } = this.options.engine;
    return (
      this.settings ??
      this.options.startSettings(state.status === 'ready' ? state.model.policy : null)
    );
  }

  /** Everything a panel that has just become ready must hear, in order. */
  replay(
    subject: Omit<
      Extract<HostMessage, { type: 'showSubject' }>,
      'type' | 'question' | 'settings' | 'runs' | 'model' | 'view'
    >,
    view: PanelViewState | null,
  ): void {
    this.options.post({
      type: 'showSubject',
      ...subject,
      question: this.question,
      settings: this.currentSettings,
      runs: this.runs,
      view,
      model: this.options.engine.state,
    });
    if (this.failed) this.options.post({ type: 'failRun', ...this.failed });
    if (!this.active) return;
    const { id, progress } = this.active;
    this.postStart(this.active);
    for (const one of progress.values()) {
      this.options.post({ type: 'updateRun', id, progress: one });
    }
  }

  /**
   * Runs, superseding a run under way. `settings` null: this session's, or for a first run those that
   * the model's policy asks for.
   * @throws {AvisError} whatever ended the run; the panel has been told.
   */
  async run(
    question: string,
    settings: AskSettings | null = null,
    purpose: RunPurpose = 'run',
  ): Promise<RunResult> {
    this.cancel(new AvisError('superseded', 'A newer run took its place.'));
    const { engine, modelChoice, readImage, startSettings } = this.options;
    if (purpose === 'run' && settings) this.settings = settings;
    this.question = question;
    const run: ActiveRun = {
      id: this.nextId++,
      purpose,
      question,
      settings: settingsOf(purpose, settings ?? this.currentSettings),
      controller: new AbortController(),
      progress: new Map(),
    };
    const { signal } = run.controller;
    const startedAt = Date.now();
    this.active = run;
    this.failed = undefined;
    this.last = { question, settings, purpose };
    this.postStart(run);
    try {
      const image = await raceAbort(readImage(), signal);
      if (!this.settings) {
        const { policy } = await raceAbort(engine.load(modelChoice()), signal);
        this.settings = startSettings(policy);
        run.settings = settingsOf(purpose, settings ?? this.settings);
        this.postStart(run);
      }
      const result = await engine.ask(
        modelChoice(),
        { image, question, settings: run.settings },
        { signal, onProgress: (progress) => this.report(run, progress) },
      );
      const record: RunRecord = { id: run.id, purpose, startedAt, result };
      this.runs.push(record);
      if (engine.state.status === 'ready') this.models.set(run.id, engine.state.model);
      this.end(run, { type: 'finishRun', record });
      return result;
    } catch (error) {
      const failure = { id: run.id, error: toErrorData(error) };
      if (this.active === run) this.failed = failure;
      this.end(run, { type: 'failRun', ...failure });
      throw error;
    }
  }

  /** Runs the last request again where it failed, such as after a crash. */
  async retry(): Promise<void> {
    const { last, failed } = this;
    if (last && failed) await this.run(last.question, last.settings, last.purpose);
  }

  cancel(reason = new AvisError('canceled', 'Canceled.')): void {
    this.active?.controller.abort(reason);
  }

  private postStart({ id, purpose, question, settings }: ActiveRun): void {
    this.options.post({ type: 'startRun', id, purpose, question, settings });
  }

  private end(run: ActiveRun, message: HostMessage): void {
    if (this.active === run) {
      this.active = undefined;
      this.dropTexts();
    }
    this.options.post(message);
  }

  private report(run: ActiveRun, progress: AskProgress): void {
    run.progress.set(progressKey(progress), progress);
    if (this.active !== run) return;
    if (progress.type === 'rolloutText') {
      this.heldTexts.set(progress.index, progress);
      this.textTimer ??= setTimeout(() => this.flushTexts(run.id), textIntervalMs);
      return;
    }
    this.flushTexts(run.id);
    this.options.post({ type: 'updateRun', id: run.id, progress });
  }

  private flushTexts(id: number): void {
    const texts = [...this.heldTexts.values()];
    this.dropTexts();
    for (const progress of texts) this.options.post({ type: 'updateRun', id, progress });
  }

  private dropTexts(): void {
    clearTimeout(this.textTimer);
    this.textTimer = undefined;
    this.heldTexts.clear();
  }
}

/** What a later message of the same key makes superfluous in a replay. */
function progressKey(progress: AskProgress): string {
  if (progress.type === 'rolloutDone') return `done ${progress.rollout.index}`;
  return progress.type === 'rolloutText' ? `text ${progress.index}` : progress.type;
}

function settingsOf(purpose: RunPurpose, settings: AskSettings): AskSettings {
  return purpose === 'vanilla' ? vanillaSettings(settings) : settings;
}
