/** "AVIS: Get a Model…": choose a repository and a variant, download it, use it. */
import { access } from 'node:fs/promises';
import * as vscode from 'vscode';
import { curatedModels } from '../hub/curatedModels';
import { downloadModel, type DownloadProgress } from '../hub/downloadModel';
import {
  type DownloadPlan,
  estimateMemoryBytes,
  listDtypes,
  planDownload,
} from '../hub/downloadPlan';
import { connectHub, isAccessDenied, readRepository, type Repository } from '../hub/hubConnection';
import { AvisError } from '../shared/errors';
import { chooseFolder, useModel } from './modelPicker';
import type { ModelStore } from './modelStore';
import { showFailure } from './showError';

const tokenKey = 'avis.hubToken';
const idPattern = /^[\w.-]+\/[\w.-]+$/;
/** What runs well on a processor first. */
const dtypeOrder = ['q4', 'int8', 'quantized', 'uint8', 'q4f16', 'fp16', 'bnb4', 'fp32'];

export interface GetModelContext {
  store: ModelStore;
  secrets: vscode.SecretStorage;
  log: vscode.LogOutputChannel;
}

/**
 * @param id and `dtype` skip the choices they answer
 * @returns the folder of the downloaded model; undefined when dismissed.
 * @throws {AvisError} with what to do.
 */
export async function getModel(
  context: GetModelContext,
  id?: string,
  dtype?: string,
): Promise<string | undefined> {
  const chosenId = id ?? (await chooseRepository(context));
  if (chosenId === undefined) return undefined;
  if (!idPattern.test(chosenId)) {
    throw new AvisError(
      'badInput',
      `“${chosenId}” isn’t a Hugging Face id: write OWNER/NAME, as in HuggingFaceTB/SmolVLM-256M-Instruct.`,
    );
  }
  const repository = await lookUp(context, chosenId);
  if (!repository) return undefined;
  const plan =
    dtype === undefined
      ? await chooseVariant(repository)
      : planDownload(repository.id, repository.revision, repository.files, dtype);
  return plan && downloadPlan(context, plan);
}

/** Downloads, or continues what was downloaded of it before. */
export async function downloadPlan(
  context: GetModelContext,
  plan: DownloadPlan,
): Promise<string | undefined> {
  const { store, log } = context;
  const folder = store.folderOf(plan);
  if (!(await exists(folder))) {
    log.info(`Downloading ${plan.repository} (${plan.dtype}, ${plan.revision}) to ${folder}`);
    await withProgress(`Downloading ${plan.repository}`, async (signal, report) => {
      const onWait = (waitMs: number) =>
        report({ message: `the hub asks to wait ${duration(waitMs / 1000)}` });
      const connection = connectHub({ ...(await hubAccess(context)), signal, onWait });
      await downloadModel(plan, folder, {
        connection,
        signal,
        onProgress: progressReporter(report),
      });
    });
  }
  const use = 'Use This Model';
  const chosen = vscode.window
    .showInformationMessage(`${plan.repository} (${plan.dtype}) is ready.`, use)
    .then((choice) => choice && useModel(folder));
  showFailure(chosen, log);
  return folder;
}

/** Stores the access token for gated models; an empty one removes it. False when dismissed. */
export async function setHubToken(secrets: vscode.SecretStorage): Promise<boolean> {
  const token = await vscode.window.showInputBox({
    title: 'Hugging Face access token',
    prompt: 'Kept in the secret storage of VS Code. Leave empty to remove it.',
    placeHolder: 'hf_…',
    password: true,
    ignoreFocusOut: true,
    validateInput: (value) =>
      value && !/^hf_\w+$/.test(value) ? 'A Hugging Face token starts with hf_.' : undefined,
  });
  if (token === undefined) return false;
  if (token) await secrets.store(tokenKey, token);
  else await secrets.delete(tokenKey);
  return true;
}

/** Asks for a token where one could help. Undefined when that is dismissed. */
async function lookUp(context: GetModelContext, id: string): Promise<Repository | undefined> {
  const setToken = 'Set Token…';
  for (;;) {
    try {
      return await withProgress(`Looking up ${id}`, (signal) =>
        findRepository(context, id, signal),
      );
    } catch (error) {
      if (!isAccessDenied(error)) throw error;
      const choice = await vscode.window.showErrorMessage(error.message, setToken);
      if (choice !== setToken || !(await setHubToken(context.secrets))) return undefined;
    }
  }
}

async function hubAccess({ secrets }: GetModelContext) {
  const hubUrl = vscode.workspace.getConfiguration('avis').get<string>('hub.endpoint', '').trim();
  if (!/^https?:\/\/[^/]/.test(hubUrl)) {
    throw new AvisError(
      'badInput',
      `avis.hub.endpoint is “${hubUrl}”: set it to an address such as https://huggingface.co.`,
    );
  }
  return { hubUrl, accessToken: await secrets.get(tokenKey) };
}

async function findRepository(
  context: GetModelContext,
  id: string,
  signal: AbortSignal,
): Promise<Repository> {
  return readRepository(connectHub({ ...(await hubAccess(context)), signal }), id);
}

/** The curated list, filled with sizes as the hub tells them, and any id that is typed. */
async function chooseRepository(context: GetModelContext): Promise<string | undefined> {
  const box = vscode.window.createQuickPick<vscode.QuickPickItem & { id?: string }>();
  box.title = 'AVIS: get a model from Hugging Face';
  box.placeholder = 'Choose a model, or type any Hugging Face id (OWNER/NAME)';
  box.matchOnDescription = true;
  const folderItem = { label: '$(folder-opened) A folder on this machine…', alwaysShow: true };
  const sizes = new Map<string, string>();
  const show = () => {
    const typed = box.value.trim();
    const items = curatedModels.map(({ id, parameters, license, note }) => ({
      id,
      label: id,
      description: `${parameters} parameters · ${license}`,
      detail: [note, sizes.get(id)].filter(Boolean).join(' · '),
    }));
    const isOther = idPattern.test(typed) && !items.some(({ id }) => id === typed);
    const other = { id: typed, label: typed, description: 'Look up', alwaysShow: true };
    box.items = [...items, ...(isOther ? [other] : []), folderItem];
  };
  const abort = new AbortController();
  const noteSize = async (id: string) => {
    try {
      const repository = await findRepository(context, id, abort.signal);
      const dtype = variantsOf(repository)[0];
      if (dtype !== undefined) sizes.set(id, sizeText(planOf(repository, dtype)));
      const active = box.activeItems[0]?.id;
      show();
      // New items take the selection back to the first, under the fingers of who is choosing.
      box.activeItems = box.items.filter((item) => item.id !== undefined && item.id === active);
    } catch (error) {
      context.log.debug((error as Error).message); // said when the model is chosen
    }
  };
  for (const { id } of curatedModels) void noteSize(id);
  box.onDidChangeValue(show);
  show();
  return new Promise((resolve) => {
    box.onDidAccept(() => {
      const [item] = box.selectedItems;
      if (!item) return;
      resolve(item.id);
      box.hide();
      if (item === folderItem) showFailure(chooseFolder(), context.log);
    });
    box.onDidHide(() => {
      abort.abort();
      resolve(undefined);
      box.dispose();
    });
    box.show();
  });
}

async function chooseVariant(repository: Repository): Promise<DownloadPlan | undefined> {
  const items = variantsOf(repository).map((dtype) => {
    const plan = planOf(repository, dtype);
    return { label: dtype, description: sizeText(plan), plan };
  });
  if (items.length === 0) planOf(repository, 'fp32'); // throws what is missing
  const license = repository.license ? `, licence ${repository.license}` : '';
  const item = await vscode.window.showQuickPick(items, {
    title: `${repository.id}${license}: choose a variant to download`,
    placeHolder: 'q4 is small and quick on a processor; q4f16 and fp16 suit a graphics card',
  });
  return item?.plan;
}

function variantsOf({ files }: Repository): string[] {
  const present = listDtypes(files);
  return dtypeOrder.filter((dtype) => present.includes(dtype));
}

function planOf({ id, revision, files }: Repository, dtype: string): DownloadPlan {
  return planDownload(id, revision, files, dtype);
}

function sizeText(plan: DownloadPlan): string {
  const memory = gigabytes(estimateMemoryBytes(plan));
  return `${gigabytes(plan.totalBytes)} to download (${plan.dtype}), about ${memory} of memory`;
}

function progressReporter(report: (value: { message: string; increment?: number }) => void) {
  let reported = 0;
  return ({ doneBytes, totalBytes, bytesPerSecond, secondsLeft }: DownloadProgress) => {
    const percent = (100 * doneBytes) / totalBytes;
    const left = secondsLeft === undefined ? '' : `, ${duration(secondsLeft)} left`;
    const speed = `${(bytesPerSecond / 1e6).toFixed(1)} MB/s`;
    report({
      message: `${gigabytes(doneBytes)} of ${gigabytes(totalBytes)}, ${speed}${left}`,
      increment: Math.max(0, percent - reported),
    });
    reported = Math.max(reported, percent);
  };
}

function withProgress<T>(
  title: string,
  run: (
    signal: AbortSignal,
    report: (value: { message: string; increment?: number }) => void,
  ) => Promise<T>,
): Promise<T> {
  const options = {
    location: vscode.ProgressLocation.Notification,
    title: `AVIS: ${title}`,
    cancellable: true,
  };
  return Promise.resolve(
    vscode.window.withProgress(options, (progress, token) => {
      const abort = new AbortController();
      token.onCancellationRequested(() => abort.abort());
      return run(abort.signal, (value) => progress.report(value));
    }),
  );
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function gigabytes(bytes: number): string {
  return bytes < 1e9 ? `${Math.ceil(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}

function duration(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
