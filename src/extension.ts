import * as vscode from 'vscode';
import { App } from './host/app';
import type { AvisApi } from './host/avisApi';
import { registerCommands } from './host/commands';
import { createStatusBar } from './host/statusBar';

let app: App | undefined;

export function activate(context: vscode.ExtensionContext): AvisApi {
  const log = vscode.window.createOutputChannel('AVIS', { log: true });
  app = new App(context, log);
  context.subscriptions.push(log, app, registerCommands(app, context), createStatusBar(app.engine));
  return app;
}

export async function deactivate(): Promise<void> {
  await app?.engine.dispose();
}
