/** A workspace's own settings name a model folder: followed when the workspace is trusted, else not. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { launchBrowser } from '../scripts/browser';
import { prepareWorkspace, readSamples } from '../scripts/suite';
import { developmentFolder, installVsCodeServer, startVsCodeServer } from '../scripts/vscodeServer';
import {
  askInExplorer,
  openWorkbench,
  quietSettings,
  saveScreenshot,
  waitForRun,
} from '../scripts/workbench';

const sample = readSamples()[0]!;

describe('a workspace that names a model folder', () => {
  let browser: Browser;
  let workspace: string;

  before(async () => {
    workspace = await prepareWorkspace();
    await mkdir(join(workspace, '.vscode'));
    await writeFile(
      join(workspace, '.vscode/settings.json'),
      JSON.stringify({ 'avis.model.path': join(workspace, 'noSuchModel') }),
    );
    browser = await launchBrowser();
  });
  after(async () => {
    await browser?.close();
    await rm(workspace, { recursive: true, force: true });
  });

  /** @returns what the panel says after a question. @throws why there is no answer. */
  async function ask(workspaceTrust: boolean): Promise<string> {
    const dataFolder = await mkdtemp(join(tmpdir(), 'avis-vscode-'));
    const server = await startVsCodeServer({
      serverFolder: await installVsCodeServer(),
      dataFolder,
      workspaceTrust,
      settings: { ...quietSettings('dark'), 'security.workspace.trust.startupPrompt': 'never' },
    });
    try {
      const { page } = await openWorkbench(browser, server, {
        workspace,
        extensions: [await developmentFolder()],
      });
      if (workspaceTrust) await page.getByText('Restricted Mode is intended').waitFor();
      const panel = await askInExplorer(page, sample.file, sample.question);
      await waitForRun(panel, 1);
      return await panel.locator('#answer .answer').innerText();
    } finally {
      const [page] = browser.contexts().flatMap((context) => context.pages());
      if (page) await saveScreenshot(page, `trust-${workspaceTrust ? 'restricted' : 'trusted'}`);
      await page?.context().close();
      server.stop();
      await rm(dataFolder, { recursive: true, force: true });
    }
  }

  it('is not followed in restricted mode: the embedded model answers', async () => {
    assert.notEqual(await ask(true), '');
  });

  it('is followed when trusted: the folder is missing, and that is said', async () => {
    await assert.rejects(ask(false), /The run failed.*noSuchModel/s);
  });
});
