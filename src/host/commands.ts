/** The commands: arguments or dialogs first, then the App. Arguments skip the dialogs. */
import * as vscode from 'vscode';
import { AvisError } from '../shared/errors';
import type { App } from './app';
import { fileName, isConfigFile, isImage, pickImages, readTextFile } from './files';
import type { GetModelContext } from './getModel';
import { ModelStore } from './modelStore';
import { askQuestion } from './questionBox';
import { showError } from './showError';

/** Each open panel costs memory; more images than this are asked about only after a question. */
const manyImages = 10;

export function registerCommands(app: App, context: vscode.ExtensionContext): vscode.Disposable {
  const { log, engine } = app;
  const commands: Record<string, (...args: unknown[]) => Promise<unknown> | void> = {
    'avis.ask': (first, second) => ask(app, first, second),
    'avis.exportConfig': async (image, target, runId) =>
      app.exportConfig(chosenImage(app, image), asUri(target), asNumber(runId)),
    'avis.copyConfig': async (image, runId) =>
      app.copyConfig(chosenImage(app, image), asNumber(runId)),
    'avis.copyFlags': async (image, runId) =>
      app.copyFlags(chosenImage(app, image), asNumber(runId)),
    'avis.applyConfig': (config, image) => applyConfig(app, config, image),
    'avis.selectModel': () => selectModel(app, getModelContext(context, log)),
    'avis.getModel': async (id, dtype) => {
      const { getModel } = await import('./getModel');
      return getModel(getModelContext(context, log), asString(id), asString(dtype));
    },
    'avis.setHubToken': async () => {
      const { setHubToken } = await import('./getModel');
      await setHubToken(context.secrets);
    },
    'avis.showLog': () => log.show(),
    'avis.restartEngine': async () => {
      await engine.restart();
      app.warmUp();
    },
    'avis.installCuda': async () => {
      const { installCuda } = await import('./cudaInstall');
      if (await installCuda(context.extensionUri, log)) await engine.restart();
    },
    'avis.openSamples': () => openSamples(app, context.extensionUri),
    'avis.openWalkthrough': async () => {
      await vscode.commands.executeCommand(
        'workbench.action.openWalkthrough',
        `${context.extension.id}#avis.start`,
      );
    },
  };
  return vscode.Disposable.from(
    ...Object.entries(commands).map(([name, run]) =>
      vscode.commands.registerCommand(name, async (...args: unknown[]) => {
        try {
          return await run(...args);
        } catch (error) {
          void showError(error, log);
          return undefined;
        }
      }),
    ),
  );
}

/** `(uri)`, `(uri, selectedUris)` from the Explorer, `(uri, question)` from other code, or nothing. */
async function ask(app: App, first: unknown, second: unknown): Promise<void> {
  const images = await chooseImages(app, first, second);
  if (images.length === 0) return;
  if (images.length > manyImages && !(await confirmMany(images.length))) return;
  app.warmUp();
  const question =
    typeof second === 'string'
      ? second
      : await askQuestion(images.map(fileName), app.recentQuestions);
  if (question === undefined) return;
  if (images.length === 1) {
    // The panel shows how it goes, and why it failed.
    await app.logFailure(app.askImage(images[0]!, question));
    return;
  }
  await askMany(app, images, question);
}

async function askMany(app: App, images: vscode.Uri[], question: string): Promise<void> {
  const options = {
    location: vscode.ProgressLocation.Notification,
    title: 'AVIS: asking',
    cancellable: true,
  };
  await vscode.window.withProgress(options, async (progress, token) => {
    for (const [index, image] of images.entries()) {
      if (token.isCancellationRequested) return;
      const panel = app.panels.open(image);
      const cancel = token.onCancellationRequested(() => panel.session.cancel());
      progress.report({ message: `${fileName(image)} (${index + 1} of ${images.length})` });
      await app.logFailure(app.askImage(image, question));
      cancel.dispose();
      progress.report({ increment: 100 / images.length });
    }
  });
}

async function chooseImages(app: App, first: unknown, second: unknown): Promise<vscode.Uri[]> {
  const selected = Array.isArray(second) && second.length > 0 ? second : [first];
  const images = selected.filter((uri): uri is vscode.Uri => uri instanceof vscode.Uri);
  if (images.some(isImage)) return images.filter(isImage);
  if (images[0]?.scheme === 'file' && !app.panels.active) {
    throw new AvisError(
      'badInput',
      `${fileName(images[0])} isn’t an image that AVIS reads (PNG, JPEG, WebP, GIF, TIFF, AVIF).`,
    );
  }
  const current = currentImage(app);
  return current ? [current] : pickImages();
}

async function confirmMany(count: number): Promise<boolean> {
  const yes = 'Ask';
  const answer = await vscode.window.showWarningMessage(
    `Ask about ${count} images?`,
    { modal: true, detail: 'A panel is opened for each.' },
    yes,
  );
  return answer === yes;
}

/** The image of the active panel or of the active editor. */
function currentImage(app: App): vscode.Uri | undefined {
  if (app.panels.active) return app.panels.active.image;
  const input = vscode.window.tabGroups.activeTabGroup.activeTab?.input;
  const isEditor = input instanceof vscode.TabInputCustom || input instanceof vscode.TabInputText;
  return isEditor && isImage(input.uri) ? input.uri : undefined;
}

/** @throws {AvisError} 'badInput' when neither the argument nor a panel names an image. */
function chosenImage(app: App, argument: unknown): vscode.Uri {
  if (argument instanceof vscode.Uri && app.panels.find(argument)) return argument;
  const panel = app.panels.active ?? (app.panels.all.length === 1 ? app.panels.all[0] : undefined);
  if (panel) return panel.image;
  throw new AvisError(
    'badInput',
    'Open the AVIS panel whose run is to be exported, and try again.',
  );
}

async function applyConfig(app: App, config: unknown, image: unknown): Promise<void> {
  const source = asUri(config) ?? (await chooseConfig());
  if (!source) return;
  await app.applyConfig(source, asUri(image) ?? (await imageForConfig(app)));
}

async function chooseConfig(): Promise<vscode.Uri | undefined> {
  const open = vscode.window.activeTextEditor?.document.uri;
  if (open && isConfigFile(open)) return open;
  const chosen = await vscode.window.showOpenDialog({
    title: 'AVIS configuration to apply',
    openLabel: 'Apply',
    filters: { 'AVIS configuration': ['json'] },
  });
  return chosen?.[0];
}

/** With no panel open, the configuration needs an image to be tried on. */
async function imageForConfig(app: App): Promise<vscode.Uri | undefined> {
  if (app.panels.all.length > 0) return undefined;
  const [image] = await pickImages();
  return image;
}

interface Sample {
  file: string;
  question: string;
  note: string;
}

async function openSamples(app: App, extensionUri: vscode.Uri): Promise<void> {
  const folder = vscode.Uri.joinPath(extensionUri, 'media', 'samples');
  const list = await readTextFile(vscode.Uri.joinPath(folder, 'questions.json'));
  const items = (JSON.parse(list) as Sample[]).map(({ file, question, note }) => ({
    label: question,
    description: file,
    detail: note,
    image: vscode.Uri.joinPath(folder, file),
  }));
  const chosen = await vscode.window.showQuickPick(items, {
    title: 'AVIS: ask about a sample image',
    matchOnDescription: true,
  });
  if (chosen) await ask(app, chosen.image, chosen.label);
}

async function selectModel(app: App, context: GetModelContext): Promise<void> {
  const picker = await import('./modelPicker');
  await picker.selectModel({
    embeddedFolder: app.embeddedFolder,
    store: context.store,
    log: app.log,
    onContinue: async ({ plan }) => {
      const { downloadPlan } = await import('./getModel');
      await downloadPlan(context, plan);
    },
  });
}

function getModelContext(
  { globalStorageUri, secrets }: vscode.ExtensionContext,
  log: vscode.LogOutputChannel,
): GetModelContext {
  const root = vscode.Uri.joinPath(globalStorageUri, 'models').fsPath;
  return { store: new ModelStore(root), secrets, log };
}

function asUri(argument: unknown): vscode.Uri | undefined {
  return argument instanceof vscode.Uri ? argument : undefined;
}

function asString(argument: unknown): string | undefined {
  return typeof argument === 'string' ? argument : undefined;
}

function asNumber(argument: unknown): number | undefined {
  return typeof argument === 'number' ? argument : undefined;
}
