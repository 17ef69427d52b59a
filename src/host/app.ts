/** The extension's parts, and what can be done with them without a dialog. */
import * as vscode from 'vscode';
import { AvisError, toErrorData } from '../shared/errors';
import type { PanelMessage, RunPurpose, RunRecord } from '../shared/panelProtocol';
import type { AskSettings, RunResult } from '../shared/types';
import type { AvisApi } from './avisApi';
import {
  applyConfig,
  buildRunConfig,
  exportConfig,
  pickConfigTarget,
  readConfig,
} from './configFiles';
import { EngineClient } from './engineClient';
import type { Panel } from './panel';
import { Panels } from './panels';
import { addRecentQuestion } from './recentQuestions';
import { readIdleMinutes, readModelChoice } from './settings';
import { showFailure } from './showError';

const recentQuestionsKey = 'avis.recentQuestions';

/** A change of these takes another engine process. */
const modelSettings = ['avis.model.path', 'avis.engine.device', 'avis.engine.dtype'];

export class App implements AvisApi, vscode.Disposable {
  readonly engine: EngineClient;
  readonly panels: Panels;
  /** The checkpoint that comes with the extension. */
  readonly embeddedFolder: string;
  /** Hidden at run time too: this object is what other extensions get, and the secrets are not theirs. */
  readonly #context: vscode.ExtensionContext;
  private readonly configurationListener: vscode.Disposable;

  constructor(
    context: vscode.ExtensionContext,
    readonly log: vscode.LogOutputChannel,
  ) {
    this.#context = context;
    this.embeddedFolder = context.asAbsolutePath('media/model');
    this.engine = new EngineClient({
      script: context.asAbsolutePath('out/engineProcess.mjs'),
      cacheFolder: vscode.Uri.joinPath(context.globalStorageUri, 'graphs').fsPath,
      log,
      idleMinutes: readIdleMinutes,
      tell: (message) => void vscode.window.showWarningMessage(message),
    });
    this.panels = new Panels({
      extensionUri: context.extensionUri,
      engine: this.engine,
      embeddedFolder: this.embeddedFolder,
      recentQuestions: () => this.recentQuestions,
      handle: (panel, message) => this.handle(panel, message),
    });
    this.configurationListener = vscode.workspace.onDidChangeConfiguration((event) => {
      const affected = modelSettings.some((setting) => event.affectsConfiguration(setting));
      if (affected && this.engine.state.status !== 'unloaded') this.warmUp();
    });
  }

  get recentQuestions(): readonly string[] {
    return this.#context.globalState.get<string[]>(recentQuestionsKey, []);
  }

  async askImage(
    image: vscode.Uri,
    question: string,
    settings?: AskSettings,
    purpose: RunPurpose = 'run',
  ): Promise<RunResult> {
    this.rememberQuestion(question);
    return this.panels.open(image).session.run(question, settings ?? null, purpose);
  }

  runs(image: vscode.Uri): readonly RunRecord[] {
    return this.panel(image).session.runs;
  }

  async exportConfig(image: vscode.Uri, target?: vscode.Uri, runId?: number): Promise<void> {
    const { json } = await this.buildConfig(image, runId);
    const chosen = target ?? (await pickConfigTarget(image, this.#context.extensionUri));
    if (chosen) await exportConfig(chosen, json);
  }

  async copyConfig(image: vscode.Uri, runId?: number): Promise<void> {
    const { json } = await this.buildConfig(image, runId);
    await vscode.env.clipboard.writeText(json);
    vscode.window.setStatusBarMessage('AVIS: configuration copied', 3000);
  }

  async copyFlags(image: vscode.Uri, runId?: number): Promise<void> {
    const { flags } = await this.buildConfig(image, runId);
    await vscode.env.clipboard.writeText(flags);
    vscode.window.setStatusBarMessage('AVIS: reference flags copied', 3000);
  }

  async applyConfig(source: vscode.Uri, image?: vscode.Uri): Promise<void> {
    const config = await readConfig(source);
    const panels = image ? [this.panels.open(image)] : this.panels.all;
    applyConfig(config, source, panels, this.engine);
  }

  receivePanelMessage(image: vscode.Uri, message: PanelMessage): void {
    this.handle(this.panel(image), message);
  }

  /** Loads the model ahead of the question; a failure is in the engine's state. */
  warmUp(): void {
    void this.logFailure(this.engine.load(readModelChoice(this.embeddedFolder)));
  }

  dispose(): void {
    this.panels.dispose();
    this.configurationListener.dispose();
  }

  private handle(panel: Panel, message: PanelMessage): void {
    const { session, image } = panel;
    switch (message.type) {
      case 'ready':
        return;
      case 'ask':
        this.rememberQuestion(message.question);
        void this.logFailure(session.run(message.question, message.settings, message.purpose));
        return;
      case 'cancelRun':
        session.cancel();
        return;
      case 'exportConfig':
        showFailure(this.export(image, message), this.log);
        return;
      case 'chooseModel':
        void vscode.commands.executeCommand('avis.selectModel');
        return;
      case 'retryEngine':
        void this.logFailure(this.retry(panel));
        return;
      case 'showLog':
        this.log.show();
        return;
      default:
        message satisfies never;
    }
  }

  private export(
    image: vscode.Uri,
    { to, runId }: Extract<PanelMessage, { type: 'exportConfig' }>,
  ): Promise<void> {
    switch (to) {
      case 'file':
        return this.exportConfig(image, undefined, runId);
      case 'clipboard':
        return this.copyConfig(image, runId);
      case 'flags':
        return this.copyFlags(image, runId);
    }
  }

  private async retry({ session }: Panel): Promise<void> {
    if (this.engine.state.status === 'failed') {
      await this.engine.restart();
      this.warmUp();
    }
    await session.retry();
  }

  private buildConfig(image: vscode.Uri, runId?: number) {
    return buildRunConfig(
      this.panel(image).session,
      runId,
      this.engine,
      readModelChoice(this.embeddedFolder),
    );
  }

  private panel(image: vscode.Uri): Panel {
    const panel = this.panels.find(image);
    if (panel) return panel;
    throw new AvisError('badInput', `No panel is open for ${image.path}: ask about it first.`);
  }

  private rememberQuestion(question: string): void {
    const recent = addRecentQuestion(this.recentQuestions, question);
    void this.#context.globalState.update(recentQuestionsKey, recent);
  }

  /** For runs: the panel shows the error itself. */
  logFailure(promise: Promise<unknown>): Promise<unknown> {
    return promise.catch((error: unknown) => {
      const { code, message, stack } = toErrorData(error);
      if (code === 'canceled' || code === 'superseded') this.log.debug(message);
      else this.log.error(stack ?? message);
    });
  }
}
