/** The open panels, one per image, and their return after a window reload. */
import * as vscode from 'vscode';
import type { PanelState } from '../shared/panelProtocol';
import { Panel, type PanelContext, panelViewType } from './panel';

export class Panels implements vscode.Disposable {
  private readonly panels = new Map<string, Panel>();
  private readonly serializer: vscode.Disposable;

  constructor(private readonly context: PanelContext) {
    this.serializer = vscode.window.registerWebviewPanelSerializer(panelViewType, {
      deserializeWebviewPanel: async (webviewPanel, state: unknown) => {
        if (isPanelState(state)) this.add(vscode.Uri.parse(state.image), webviewPanel, state);
        else webviewPanel.dispose();
      },
    });
  }

  get all(): Panel[] {
    return [...this.panels.values()];
  }

  get active(): Panel | undefined {
    return this.all.find((panel) => panel.active);
  }

  find(image: vscode.Uri): Panel | undefined {
    return this.panels.get(image.toString());
  }

  /** Shows the image's panel, opening it where there is none. */
  open(image: vscode.Uri): Panel {
    const existing = this.find(image);
    if (existing) {
      existing.reveal();
      return existing;
    }
    const column = vscode.window.activeTextEditor?.viewColumn ?? vscode.ViewColumn.Active;
    return this.add(image, vscode.window.createWebviewPanel(panelViewType, 'AVIS', column), null);
  }

  dispose(): void {
    this.serializer.dispose();
  }

  private add(
    image: vscode.Uri,
    webviewPanel: vscode.WebviewPanel,
    restored: PanelState | null,
  ): Panel {
    const key = image.toString();
    const panel: Panel = new Panel(image, webviewPanel, this.context, restored, () => {
      if (this.panels.get(key) === panel) this.panels.delete(key);
    });
    this.panels.set(key, panel);
    return panel;
  }
}

/** The panel's own state, perhaps of an older version: what can't be shown is not restored. */
function isPanelState(state: unknown): state is PanelState {
  if (typeof state !== 'object' || state === null) return false;
  const { image, question, settings, runs } = state as Partial<PanelState>;
  return (
    typeof image === 'string' &&
    typeof question === 'string' &&
    typeof settings?.prune?.mode === 'string' &&
    Array.isArray(runs) &&
    runs.every((run) => Array.isArray(run?.result?.visual?.scores))
  );
}
