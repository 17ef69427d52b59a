/** "AVIS: Choose Model…": the embedded model, those that were downloaded, any folder. */
import { basename } from 'node:path';
import * as vscode from 'vscode';
import type { ModelStore, StoredModel } from './modelStore';
import { readModelChoice } from './settings';
import { showFailure } from './showError';

interface ModelItem extends vscode.QuickPickItem {
  /** What choosing it does; undefined for separators. */
  choose?: () => PromiseLike<unknown>;
  /** Shown with a button that removes it. */
  stored?: StoredModel;
}

const removeButton: vscode.QuickInputButton = {
  iconPath: new vscode.ThemeIcon('trash'),
  tooltip: 'Remove from disk',
};

/** Lets the person choose, continue and remove models. */
export async function selectModel(options: {
  embeddedFolder: string;
  store: ModelStore;
  log: vscode.LogOutputChannel;
  /** Continues a broken download. */
  onContinue: (model: StoredModel) => PromiseLike<unknown>;
}): Promise<void> {
  const { embeddedFolder, store, log, onContinue } = options;
  const box = vscode.window.createQuickPick<ModelItem>();
  box.title = 'AVIS: choose a model';
  const show = async () => {
    const { folder } = readModelChoice(embeddedFolder);
    box.items = modelItems(await store.list(), folder, embeddedFolder, onContinue);
  };
  const remove = async (model: StoredModel) => {
    if (!(await confirmRemoval(model))) return;
    if (readModelChoice(embeddedFolder).folder === model.folder) await useModel('');
    await store.remove(model);
  };
  await show();
  box.onDidTriggerItemButton(({ item: { stored } }) => {
    if (stored) showFailure(remove(stored), log);
  });
  box.onDidAccept(() => {
    const [item] = box.selectedItems;
    box.hide();
    if (item?.choose) showFailure(item.choose(), log);
  });
  box.onDidHide(() => box.dispose());
  box.show();
}

/** @param folder absolute; '' for the embedded model */
export async function useModel(folder: string): Promise<void> {
  const settings = vscode.workspace.getConfiguration('avis');
  const inWorkspace = settings.inspect('model.path')?.workspaceValue !== undefined;
  await settings.update(
    'model.path',
    // There, '' stands over a folder that the user's own settings name.
    folder || (inWorkspace ? '' : undefined),
    inWorkspace ? vscode.ConfigurationTarget.Workspace : vscode.ConfigurationTarget.Global,
  );
}

function modelItems(
  stored: StoredModel[],
  current: string,
  embeddedFolder: string,
  onContinue: (model: StoredModel) => PromiseLike<unknown>,
): ModelItem[] {
  const mark = (folder: string) => (folder === current ? '$(check) ' : '');
  const known = [embeddedFolder, ...stored.map(({ folder }) => folder)];
  const other: ModelItem[] = known.includes(current)
    ? []
    : [{ label: `$(check) ${basename(current)}`, description: current }];
  return [
    {
      label: `${mark(embeddedFolder)}Embedded model`,
      description: 'Comes with the extension',
      choose: () => useModel(''),
    },
    ...stored.map((model): ModelItem => {
      const { folder, finished, plan } = model;
      const size = `${(plan.totalBytes / 1e9).toFixed(2)} GB`;
      return {
        label: `${mark(folder)}${plan.repository}`,
        description: finished
          ? `${plan.dtype}, ${size}`
          : `${plan.dtype}, not fully downloaded: choose it to continue`,
        buttons: [removeButton],
        stored: model,
        choose: () => (finished ? useModel(folder) : onContinue(model)),
      };
    }),
    ...other,
    { label: '', kind: vscode.QuickPickItemKind.Separator },
    {
      label: '$(cloud-download) Get a Model…',
      choose: () => vscode.commands.executeCommand('avis.getModel'),
    },
    { label: '$(folder-opened) Choose a Folder…', choose: chooseFolder },
  ];
}

/** Lets the person use a checkpoint that is on this machine already. */
export async function chooseFolder(): Promise<void> {
  const picked = await vscode.window.showOpenDialog({
    title: 'Folder of an ONNX checkpoint',
    canSelectFiles: false,
    canSelectFolders: true,
    openLabel: 'Use This Model',
  });
  if (picked?.[0]) await useModel(picked[0].fsPath);
}

async function confirmRemoval({ plan, folder }: StoredModel): Promise<boolean> {
  const remove = 'Remove';
  const answer = await vscode.window.showWarningMessage(
    `Remove ${plan.repository} (${plan.dtype}) from disk?`,
    { modal: true, detail: folder },
    remove,
  );
  return answer === remove;
}
