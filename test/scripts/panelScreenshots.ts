/**
 * Asks about an image as a person does and saves the panel in light, dark, high contrast and 400 px
 * narrow to test/artefacts/panel-*.png. Also the README's pictures, from a run on the sample images.
 *   npm run screenshots [-- WORKSPACE_FOLDER IMAGE_NAME QUESTION]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { launchBrowser } from './browser';
import { samplesFolder } from './paths';
import { developmentFolder, installVsCodeServer, startVsCodeServer } from './vscodeServer';
import {
  askInExplorer,
  fail,
  openWorkbench,
  quietSettings,
  runCommandByTitle,
  saveScreenshot,
  waitForRun,
} from './workbench';

const [
  workspace = samplesFolder,
  image = '03-background.png',
  question = 'How many diamonds do you see?',
] = process.argv.slice(2);

const serverFolder = await installVsCodeServer();
const browser = await launchBrowser();
try {
  for (const theme of ['light', 'dark', 'highContrast'] as const) {
    const dataFolder = await mkdtemp(join(tmpdir(), 'avis-vscode-'));
    const server = await startVsCodeServer({
      serverFolder,
      dataFolder,
      settings: quietSettings(theme),
    });
    try {
      const workbench = await openWorkbench(browser, server, {
        workspace,
        extensions: [await developmentFolder()],
      });
      const { page } = workbench;
      try {
        const panel = await askInExplorer(page, image, question);
        await waitForRun(panel, 1);
        console.log(await saveScreenshot(page, `panel-${theme}`));
        await runCommandByTitle(page, 'View: Close Primary Side Bar');
        await page.setViewportSize({ width: 448, height: 1000 });
        if (theme === 'dark') console.log(await saveScreenshot(page, 'panel-narrow'));
      } catch (error) {
        await fail(workbench, `panelScreenshots-${theme}`, error);
      }
      await page.context().close();
    } finally {
      server.stop();
      await rm(dataFolder, { recursive: true, force: true });
    }
  }
} finally {
  await browser.close();
}
