/** One webview panel: shows an ImageSession, and says what the person wants. */
import { randomBytes } from 'node:crypto';
import * as vscode from 'vscode';
import type { HostMessage, ModelState, PanelMessage, PanelState } from '../shared/panelProtocol';
import type { AskSettings } from '../shared/types';
import type { EngineClient } from './engineClient';
import { fileName, needsPreview, readImage } from './files';
import { ImageSession } from './imageSession';
import { panelHtml } from './panelHtml';
import { readAutoRun, readModelChoice, readStartSettings } from './settings';

export const panelViewType = 'avis.panel';

const maxPreviewPx = 2048;

export interface PanelContext {
  extensionUri: vscode.Uri;
  engine: EngineClient;
  embeddedFolder: string;
  recentQuestions: () => readonly string[];
  /** What the panel can't do by itself. Runs started from the panel report their errors there. */
  handle: (panel: Panel, message: PanelMessage) => void;
}

export class Panel {
  readonly session: ImageSession;
  private readonly subscriptions: vscode.Disposable[] = [];
  private ready = false;
  /** Of settings that were applied before the page was there. */
  private heldNote: string | undefined;
  private postedModel: ModelState | undefined;

  constructor(
    readonly image: vscode.Uri,
    private readonly webviewPanel: vscode.WebviewPanel,
    private readonly context: PanelContext,
    private readonly restored: PanelState | null,
    onDispose: () => void,
  ) {
    const { engine } = context;
    this.session = new ImageSession({
      engine,
      readImage: () => readImage(image),
      modelChoice: () => readModelChoice(context.embeddedFolder),
      startSettings: readStartSettings,
      post: (message) => this.post(message),
    });
    if (restored) this.session.restore(restored);
    const { webview } = webviewPanel;
    this.subscriptions.push(
      webview.onDidReceiveMessage((message: PanelMessage) => this.receive(message)),
      webviewPanel.onDidChangeViewState(() => {
        // A hidden page is gone; it says `ready` again when it is shown.
        if (!webviewPanel.visible) this.ready = false;
      }),
      webviewPanel.onDidDispose(() => {
        this.ready = false;
        this.session.cancel();
        for (const subscription of this.subscriptions) subscription.dispose();
        onDispose();
      }),
      engine.onDidChange(() => this.postModel()),
      vscode.workspace.onDidChangeConfiguration((event) => {
        if (!event.affectsConfiguration('avis.autoRun')) return;
        this.post({ type: 'applySettings', settings: null, autoRun: readAutoRun(), note: null });
      }),
    );
    webviewPanel.title = `AVIS: ${fileName(image)}`;
    webviewPanel.iconPath = vscode.Uri.joinPath(
      context.extensionUri,
      'media',
      'icons',
      'panel.svg',
    );
    webview.options = {
      enableScripts: true,
      localResourceRoots: [
        vscode.Uri.joinPath(context.extensionUri, 'out'),
        vscode.Uri.joinPath(image, '..'),
      ],
    };
    const source = (name: string) =>
      webview.asWebviewUri(vscode.Uri.joinPath(context.extensionUri, 'out', name)).toString();
    webview.html = panelHtml({
      cspSource: webview.cspSource,
      nonce: randomBytes(16).toString('base64'),
      scriptSrc: source('panel.js'),
      styleSrc: source('panel.css'),
    });
  }

  get active(): boolean {
    return this.webviewPanel.active;
  }

  reveal(): void {
    this.webviewPanel.reveal();
  }

  /** Takes settings from outside, such as an imported configuration; `note` is shown to the person. */
  applySettings(settings: AskSettings, note: string): void {
    this.session.settings = settings;
    if (this.ready) this.post({ type: 'applySettings', settings, autoRun: null, note });
    else this.heldNote = note;
  }

  private receive(message: PanelMessage): void {
    if (message.type === 'ready') this.show();
    else this.context.handle(this, message);
  }

  private show(): void {
    const { image, context } = this;
    const ownSrc = this.webviewPanel.webview.asWebviewUri(image).toString();
    const webviewSrc = needsPreview(image) ? '' : ownSrc;
    this.ready = true;
    this.session.replay(
      {
        image: { uri: image.toString(), webviewSrc, name: fileName(image) },
        recentQuestions: [...context.recentQuestions()],
        autoRun: readAutoRun(),
      },
      this.restored?.view ?? null,
    );
    if (needsPreview(image)) void this.showPreview(ownSrc);
    if (this.heldNote === undefined) return;
    this.applySettings(this.session.currentSettings, this.heldNote);
    this.heldNote = undefined;
  }

  /** The engine may be loading a model meanwhile: the rest of the panel doesn't wait for it. */
  private async showPreview(ownSrc: string): Promise<void> {
    let webviewSrc = ownSrc;
    try {
      const png = await this.context.engine.preview(await readImage(this.image), maxPreviewPx);
      webviewSrc = `data:image/png;base64,${Buffer.from(png).toString('base64')}`;
    } catch {
      // The run says what is wrong with the image.
    }
    this.post({ type: 'showImage', webviewSrc });
  }

  private postModel(): void {
    const { state } = this.context.engine;
    if (state === this.postedModel) return;
    this.postedModel = state;
    this.post({ type: 'updateModel', model: state });
  }

  private post(message: HostMessage): void {
    if (this.ready) void this.webviewPanel.webview.postMessage(message);
  }
}
