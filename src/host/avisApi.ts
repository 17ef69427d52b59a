/** What the commands do, without their dialogs: the extension's exports, and the tests' way in. */
import type * as vscode from 'vscode';
import type { ModelState, PanelMessage, RunPurpose, RunRecord } from '../shared/panelProtocol';
import type { AskSettings, RunResult } from '../shared/types';

export interface AvisApi {
  /** Opens the image's panel and asks; settles when the run ends. Settings: the panel's own by default. */
  askImage(
    image: vscode.Uri,
    question: string,
    settings?: AskSettings,
    purpose?: RunPurpose,
  ): Promise<RunResult>;
  /** The finished runs of an image whose panel is open. */
  runs(image: vscode.Uri): readonly RunRecord[];
  /** Writes the configuration of a run (the newest by default) to `target`. */
  exportConfig(image: vscode.Uri, target: vscode.Uri, runId?: number): Promise<void>;
  /** Applies a `*.avis.json` to an open panel, or to every open panel. */
  applyConfig(config: vscode.Uri, image?: vscode.Uri): Promise<void>;
  /** Does what the panel would do on this message from its page. */
  receivePanelMessage(image: vscode.Uri, message: PanelMessage): void;
  readonly engine: {
    readonly state: ModelState;
    readonly runningAsks: number;
    readonly processId: number | undefined;
    onDidChange(listener: () => void): { dispose(): void };
    restart(): Promise<void>;
  };
}
