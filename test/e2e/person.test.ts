/** The extension as a person uses it: real VS Code, real browser, the embedded model. One story. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Frame, Locator } from 'playwright-core';
import sharp from 'sharp';
import { parseConfig } from '../../src/avis/config';
import { launchBrowser } from '../scripts/browser';
import { prepareWorkspace, readSamples } from '../scripts/suite';
import {
  developmentFolder,
  installVsCodeServer,
  startVsCodeServer,
  type VsCodeServer,
} from '../scripts/vscodeServer';
import {
  askInExplorer,
  askTitle,
  chooseInExplorer,
  colorThemes,
  findWebview,
  menuOf,
  openWorkbench,
  quickInput,
  quietSettings,
  runCommandByTitle,
  saveScreenshot,
  waitForRun,
  type Workbench,
} from '../scripts/workbench';

const [firstSample, , subject, ...otherSamples] = readSamples();
const { file: image, question } = subject!;
const runRows = '#runs tr[data-id]';
const exported = image.replace(/\.\w+$/, '.avis.json');

describe('a person asks about an image', function () {
  this.bail(true);
  let browser: Browser;
  let server: VsCodeServer;
  let workspace: string;
  let dataFolder: string;
  let workbench: Workbench;
  let panel: Frame;

  before(async () => {
    workspace = await prepareWorkspace();
    dataFolder = await mkdtemp(join(tmpdir(), 'avis-vscode-'));
    browser = await launchBrowser();
    server = await startVsCodeServer({
      serverFolder: await installVsCodeServer(),
      dataFolder,
      settings: quietSettings('dark'),
    });
    workbench = await openWorkbench(browser, server, {
      workspace,
      extensions: [await developmentFolder()],
    });
  });
  afterEach(async function () {
    if (this.currentTest?.state !== 'failed') return;
    const screenshot = await saveScreenshot(workbench.page, 'failed-endToEnd');
    const tail = workbench.console().split('\n').slice(-30).join('\n');
    console.log(`Screenshot: ${screenshot}\nConsole:\n${tail}`);
  });
  after(async () => {
    await browser?.close();
    server?.stop();
    await rm(workspace, { recursive: true, force: true });
    await rm(dataFolder, { recursive: true, force: true });
  });

  it('right-clicks it in the Explorer, types a question, and sees the rollouts’ answer', async () => {
    panel = await askInExplorer(workbench.page, image, question);
    await waitForRun(panel, 1);
    const { page } = workbench;
    assert.equal(await panel.getByRole('textbox', { name: 'Question' }).inputValue(), question);
    assert.notEqual(await panel.locator('#answer .answer').innerText(), '');
    await saveScreenshot(page, 'panel-dark');
  });

  it('is not offered the question on a file that is no image', async () => {
    const labels = await menuOf(workbench.page, 'README.md');
    assert.ok(labels.length > 3, labels.join(', '));
    assert.ok(!labels.includes(askTitle), labels.join(', '));
  });

  it('moves the prune slider and sees the mask change at once, without a run', async () => {
    await panel.locator('label', { hasText: 'Fixed ρ' }).click();
    await waitForRun(panel, 2);
    const stage = panel.locator('#image canvas');
    const before = await pixelsOf(stage);
    const keptBefore = await panel.locator('.group-figure').first().innerText();

    const slider = panel.getByRole('slider', { name: 'ρ', exact: true });
    const { x, y, width, height } = (await slider.boundingBox())!;
    const farAway = Number(await slider.inputValue()) > 0.5 ? 0.2 : 0.9;
    const { mouse } = workbench.page;
    await mouse.move(x + width / 2, y + height / 2);
    await mouse.down();
    await mouse.move(x + width * farAway, y + height / 2, { steps: 5 });
    await panel.locator('.badge:visible', { hasText: 'changed since' }).waitFor();
    const after = await pixelsOf(stage);
    assert.notEqual(await panel.locator('.group-figure').first().innerText(), keptBefore);
    assert.ok(shareChanged(before, after) > 0.02, `${shareChanged(before, after)} changed`);
    assert.equal(await panel.locator(runRows).count(), 2);
    await mouse.up();
  });

  it('releases it, and the run with the new pruning follows by itself', async () => {
    await waitForRun(panel, 3);
    assert.equal(await panel.locator(runRows).count(), 3);
    assert.equal(await panel.locator('.badge:visible', { hasText: 'changed since' }).count(), 0);
  });

  it('points at a token and reads where it is, its score, its rank and its fate', async () => {
    await panel.locator('#image canvas').hover();
    await panel
      .locator('.readout', {
        hasText: /row \d+ of \d+, column \d+ of \d+ · score .+ · rank \d+ of \d+ · (kept|pruned)/,
      })
      .waitFor();
  });

  it('compares two runs on the image', async () => {
    const compare = panel.locator('#runs tr[data-id="1"]').getByRole('button');
    await compare.click();
    await panel.locator('.compare-key:visible', { hasText: 'both' }).waitFor();
    await compare.click();
    await panel.locator('.compare-key').waitFor({ state: 'hidden' });
  });

  it('exports the configuration and finds the file with what was set', async () => {
    const { page } = workbench;
    const ratio = await panel.getByRole('slider', { name: 'ρ', exact: true }).inputValue();
    await panel.getByRole('button', { name: 'Save JSON…' }).click();
    const target = join(workspace, exported);
    await quickInput(page).waitFor();
    await expectValue(quickInput(page), target);
    await page.keyboard.press('Enter');
    await page.getByText(`Exported to ${exported}.`).first().waitFor();
    const config = parseConfig(await readFile(target, 'utf8'), exported);
    assert.deepEqual(config.settings.prune, { mode: 'fixed', ratio: Number(ratio) });
    assert.equal(config.evidence.question, question);
  });

  it('reads model text and question as text, never as markup', async () => {
    const box = panel.getByRole('textbox', { name: 'Question' });
    const markup = 'How many <img src=x onerror="document.title=1"> <b>stars</b>?';
    await box.fill(markup);
    await box.press('Enter');
    await waitForRun(panel, 4);
    assert.equal(await box.inputValue(), markup);
    assert.equal(await panel.locator('b, img[src="x"]').count(), 0);
  });

  it('reloads the window, and the panel is back with its runs', async () => {
    await runCommandByTitle(workbench.page, 'Developer: Reload Window');
    await workbench.page.waitForEvent('load');
    panel = await findWebview(workbench.page, runRows);
    assert.equal(await panel.locator(runRows).count(), 4);
    await waitForRun(panel, 4);
  });

  for (const theme of ['light', 'highContrast'] as const) {
    it(`reads it in the theme ${colorThemes[theme]}`, async () => {
      const { page } = workbench;
      const settings = { ...quietSettings('dark'), 'workbench.colorTheme': colorThemes[theme] };
      await writeFile(join(dataFolder, 'User/settings.json'), JSON.stringify(settings));
      await page.reload();
      panel = await findWebview(page, runRows);
      await panel.locator('#image canvas').waitFor();
      await saveScreenshot(page, `panel-${theme}`);
    });
  }

  it('reads it in a narrow column', async () => {
    const { page } = workbench;
    await runCommandByTitle(page, 'View: Close Primary Side Bar');
    await page.setViewportSize({ width: 448, height: 2400 }); // the activity bar takes 48
    await panel
      .waitForFunction(
        () => document.documentElement.scrollWidth <= document.documentElement.clientWidth,
        null,
        { timeout: 10_000 },
      )
      .finally(() => saveScreenshot(page, 'panel-narrow'));
    await page.setViewportSize({ width: 1440, height: 1000 });
  });

  it('asks from the title bar of the image preview', async () => {
    const { page } = workbench;
    await runCommandByTitle(page, 'View: Toggle Primary Side Bar Visibility');
    await page
      .locator('.explorer-folders-view .monaco-list-row', { hasText: firstSample!.file })
      .dblclick();
    await page.locator(`.editor-actions [aria-label^="${askTitle}"]`).click();
    const input = quickInput(page);
    await input.waitFor();
    await input.fill(firstSample!.question);
    await page.keyboard.press('Enter');
    panel = await findWebview(page, '#answer');
    await waitForRun(panel, 1);
  });

  it('asks the same question of several images at once', async () => {
    const { page } = workbench;
    const images = otherSamples.slice(0, 2).map(({ file }) => file);
    const rowOf = (name: string) =>
      page.locator('.explorer-folders-view .monaco-list-row', { hasText: name });
    await rowOf(images[0]!).click();
    await rowOf(images[1]!).click({ modifiers: ['ControlOrMeta'] });
    const selected = page.locator('.explorer-folders-view .monaco-list-row.selected');
    await selected.nth(1).waitFor();
    await chooseInExplorer(page, images[1]!, askTitle);
    await quickInput(page).fill('What do you see?');
    await page.keyboard.press('Enter');
    for (const name of images) await page.getByRole('tab', { name: `AVIS: ${name}` }).waitFor();
    panel = await findWebview(page, `.image-name:text-is("${images[1]}")`);
    await waitForRun(panel, 1);
  });

  it('comes back to an earlier panel and finds its runs', async () => {
    const { page } = workbench;
    await page.getByRole('tab', { name: `AVIS: ${image}` }).click();
    panel = await findWebview(page, `.image-name:text-is("${image}")`);
    await panel.locator(runRows).nth(3).waitFor();
  });

  it('applies an exported file to the open panels', async () => {
    const { page } = workbench;
    await chooseInExplorer(page, exported, 'Apply AVIS Configuration');
    await panel.getByText(`Settings of ${exported} applied.`).waitFor();
    const { settings } = parseConfig(await readFile(join(workspace, exported), 'utf8'), exported);
    assert.ok(settings.prune.mode === 'fixed');
    const slider = panel.getByRole('slider', { name: 'ρ', exact: true });
    assert.equal(Number(await slider.inputValue()), settings.prune.ratio);
  });

  it('never made the panel’s page break its own content policy', () => {
    const violations = workbench
      .console()
      .split('\n')
      .filter((line) => line.includes('Content Security Policy'));
    assert.deepEqual(violations, []);
  });
});

/** A dialog fills its box a moment after it shows. */
async function expectValue(input: Locator, value: string): Promise<void> {
  const until = Date.now() + 15_000;
  while ((await input.inputValue()) !== value) {
    if (Date.now() > until) assert.equal(await input.inputValue(), value);
    await input.page().waitForTimeout(50);
  }
}

interface Pixels {
  data: Buffer;
  width: number;
  height: number;
}

async function pixelsOf(element: Locator): Promise<Pixels> {
  const { data, info } = await sharp(await element.screenshot())
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height };
}

/** Share of pixels that differ by more than 24 of 255 in a channel. */
function shareChanged(before: Pixels, after: Pixels): number {
  assert.deepEqual([after.width, after.height], [before.width, before.height]);
  let changed = 0;
  for (let offset = 0; offset < before.data.length; offset += 3) {
    const differs = [0, 1, 2].some(
      (channel) => Math.abs(before.data[offset + channel]! - after.data[offset + channel]!) > 24,
    );
    if (differs) changed++;
  }
  return changed / (before.width * before.height);
}
