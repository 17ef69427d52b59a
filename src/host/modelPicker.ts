import * as vscode from 'vscode';
import { readModelChoice } from './settings';

/** Lets the person choose the checkpoint folder; what is chosen goes into `avis.model.path`. */
export async function selectModel(embeddedFolder: string): Promise<void> {
  const { folder } = readModelChoice(embeddedFolder);
  const embedded = { label: 'Embedded model', detail: 'Comes with the extension', folder: '' };
  const other = {
    label: '$(folder-opened) Choose a Folder…',
    detail: 'A checkpoint in the Hugging Face ONNX layout',
  };
  const current =
    folder === embeddedFolder ? [] : [{ label: folder, detail: 'Chosen now', folder }];
  const items: (vscode.QuickPickItem & { folder?: string })[] = [...current, embedded, other];
  const item = await vscode.window.showQuickPick(items, { title: 'AVIS: choose a model' });
  if (!item) return;
  if (item.folder !== undefined) {
    await useModel(item.folder);
    return;
  }
  const picked = await vscode.window.showOpenDialog({
    title: 'Folder of an ONNX checkpoint',
    canSelectFiles: false,
    canSelectFolders: true,
    openLabel: 'Use This Model',
  });
  if (picked?.[0]) await useModel(picked[0].fsPath);
}

/** @param folder absolute; '' for the embedded model */
export async function useModel(folder: string): Promise<void> {
  const settings = vscode.workspace.getConfiguration('avis');
  const inWorkspace = settings.inspect('model.path')?.workspaceValue !== undefined;
  await settings.update(
    'model.path',
    folder || undefined,
    inWorkspace ? vscode.ConfigurationTarget.Workspace : vscode.ConfigurationTarget.Global,
  );
}
