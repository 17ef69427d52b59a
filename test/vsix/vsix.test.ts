/** The package that people install: built here, installed into VS Code, and asked. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { launchBrowser } from '../scripts/browser';
import { root } from '../scripts/paths';
import { packageVsix } from '../scripts/packageVsix';
import { prepareWorkspace, readSamples } from '../scripts/suite';
import {
  extensionsFolder,
  installExtension,
  installVsCodeServer,
  startVsCodeServer,
  type VsCodeServer,
} from '../scripts/vscodeServer';
import {
  askInExplorer,
  openWorkbench,
  quietSettings,
  saveScreenshot,
  waitForRun,
  type Workbench,
} from '../scripts/workbench';

const sample = readSamples()[0]!;

describe('the VSIX', () => {
  let dataFolder: string;
  let workspace: string;
  let installed: string;
  let files: string[];
  let browser: Browser | undefined;
  let server: VsCodeServer | undefined;

  before(async () => {
    dataFolder = await mkdtemp(join(tmpdir(), 'avis-vscode-'));
    workspace = await prepareWorkspace();
    await installExtension(await installVsCodeServer(), dataFolder, await packageVsix());
    const folders = await readdir(extensionsFolder(dataFolder));
    const folder = folders.find((name) => name.startsWith('avis.avis-'));
    assert.ok(folder, folders.join(', '));
    installed = join(extensionsFolder(dataFolder), folder);
    files = (await readdir(installed, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(installed.length + 1));
  });
  after(async () => {
    await browser?.close();
    server?.stop();
    await rm(workspace, { recursive: true, force: true });
    await rm(dataFolder, { recursive: true, force: true });
  });

  it('holds every file of media that the repository ships', async () => {
    const media = await readdir(join(root, 'media'), { recursive: true, withFileTypes: true });
    const wanted = media
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1));
    assert.deepEqual(
      wanted.filter((path) => !files.includes(path)),
      [],
    );
  });

  it('holds every file that the manifest names', async () => {
    const manifest = await readFile(join(installed, 'package.json'), 'utf8');
    const named = [...manifest.matchAll(/"(?:\.\/)?((?:media|out)\/[^"]+)"/g)].map(
      ([, path]) => path!,
    );
    assert.ok(named.length >= 5, named.join(', '));
    assert.deepEqual(
      named.filter((path) => !existsSync(join(installed, path))),
      [],
    );
  });

  it('holds this platform’s native parts and no other’s', () => {
    const native = files.filter((path) => path.endsWith('.node'));
    assert.ok(
      native.some((path) => path.includes('onnxruntime-node')),
      native.join(', '),
    );
    assert.ok(
      native.some((path) => path.includes('sharp')),
      native.join(', '),
    );
    const others = ['darwin', 'linux', 'win32'].filter((name) => name !== process.platform);
    const foreign = files.filter((path) =>
      others.some((name) => path.split(/[\\/]|-/).includes(name) && !path.includes('semver')),
    );
    assert.deepEqual(foreign, []);
  });

  it('holds no sources, tests, source maps or training', () => {
    const needless = files.filter(
      (path) =>
        /\.(ts|map|py|test\.js)$/.test(path) ||
        /^(src|training|webview)[\\/]/.test(path) ||
        /(^|[\\/])(test[\\/]|\.(?!vsixmanifest))/.test(path),
    );
    assert.deepEqual(needless, []);
  });

  it('has a host bundle of less than 300 KiB', async () => {
    const { size } = await stat(join(installed, 'out/extension.cjs'));
    assert.ok(size < 300 * 1024, `${size} bytes`);
  });

  it('answers a question from its installed place', async () => {
    browser = await launchBrowser();
    server = await startVsCodeServer({
      serverFolder: await installVsCodeServer(),
      dataFolder,
      settings: quietSettings('dark'),
    });
    const workbench: Workbench = await openWorkbench(browser, server, {
      workspace,
      extensions: [],
    });
    try {
      const panel = await askInExplorer(workbench.page, sample.file, sample.question);
      await waitForRun(panel, 1);
      assert.notEqual(await panel.locator('#answer .answer').innerText(), '');
    } catch (error) {
      const screenshot = await saveScreenshot(workbench.page, 'failed-vsix');
      console.log(`Screenshot: ${screenshot}\nConsole:\n${workbench.console()}`);
      throw error;
    }
  });
});
