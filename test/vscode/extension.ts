/** What the suite's tests share: the activated extension, the workspace's files, waiting. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import * as vscode from 'vscode';
import type { AvisApi } from '../../src/host/avisApi';
import type { AskSettings } from '../../src/shared/types';
import type { Sample } from '../scripts/suite';

export const extension: vscode.Extension<AvisApi> = findExtension();

export function inWorkspace(...path: string[]): vscode.Uri {
  const folder = vscode.workspace.workspaceFolders?.[0];
  assert.ok(folder, 'the suite runs on a folder');
  return vscode.Uri.joinPath(folder.uri, ...path);
}

/** The sample images' own questions and answers. */
export function samples(): Sample[] {
  return JSON.parse(readFileSync(inWorkspace('questions.json').fsPath, 'utf8')) as Sample[];
}

export const quickSettings: AskSettings = {
  prune: { mode: 'fixed', ratio: 0.5 },
  rollouts: { mode: 'fixed', k: 3 },
  confidence: 0.95,
  temperature: 0.7,
  topP: 0.9,
  seed: 1,
  maxNewTokens: 64,
  thinking: true,
  earlyStop: false,
};

/** Enough work that something can happen in the middle of it. */
export const longSettings: AskSettings = {
  ...quickSettings,
  prune: { mode: 'fixed', ratio: 0 },
  rollouts: { mode: 'fixed', k: 16 },
  maxNewTokens: 512,
};

export async function waitUntil(what: string, holds: () => boolean): Promise<void> {
  const until = Date.now() + 60_000;
  while (!holds()) {
    if (Date.now() > until) throw new Error(`Waited a minute until ${what}.`);
    await new Promise((resolve) => {
      setTimeout(resolve, 10);
    });
  }
}

export function panelTabs(): vscode.Tab[] {
  return vscode.window.tabGroups.all
    .flatMap((group) => group.tabs)
    .filter(
      ({ input }) =>
        input instanceof vscode.TabInputWebview && input.viewType.endsWith('avis.panel'),
    );
}

export async function closePanels(): Promise<void> {
  await vscode.window.tabGroups.close(panelTabs());
}

function findExtension(): vscode.Extension<AvisApi> {
  const found = vscode.extensions.getExtension<AvisApi>('avis.avis');
  assert.ok(found, 'the extension avis.avis is installed');
  return found;
}
