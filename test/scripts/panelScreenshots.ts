/**
 * Asks about an image as a person does, then with seven rollouts, and saves the panel in light, dark, high contrast and 400 px
 * narrow to test/artefacts/panel-*.png. The README's picture is one of them.
 *   npm run screenshots [-- WORKSPACE_FOLDER IMAGE_NAME QUESTION]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { launchBrowser } from './browser';
import { samplesFolder } from './paths';
import { readSamples } from './suite';
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

const sample = readSamples()[1]!;
const [workspace = samplesFolder, image = sample.file, question = sample.question] =
  process.argv.slice(2);

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
        heightPx: 1240,
      });
      const { page } = workbench;
      try {
        const panel = await askInExplorer(page, image, question);
        await waitForRun(panel, 1);
        await panel.locator('label', { hasText: 'Fixed K' }).click();
        await waitForRun(panel, 2);
        const rollouts = panel.getByRole('spinbutton', { name: 'K', exact: true });
        await rollouts.fill('7');
        await rollouts.press('Enter');
        await waitForRun(panel, 3);
        await panel.locator('#rollouts summary').first().click();
        console.log(await saveScreenshot(page, `panel-${theme}`));
        if (theme !== 'dark') continue;
        await runCommandByTitle(page, 'View: Close Primary Side Bar');
        await page.setViewportSize({ width: 448, height: 2000 }); // the activity bar takes 48
        await panel.waitForFunction(
          () => document.documentElement.scrollWidth <= document.documentElement.clientWidth,
        );
        console.log(await saveScreenshot(page, 'panel-narrow'));
      } catch (error) {
        await fail(workbench, `panelScreenshots-${theme}`, error);
      }
    } finally {
      for (const context of browser.contexts()) await context.close();
      server.stop();
      await rm(dataFolder, { recursive: true, force: true });
    }
  }
} finally {
  await browser.close();
}
