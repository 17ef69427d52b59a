/** VS Code in the browser, as a person sees it. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Browser, Frame, Locator, Page } from 'playwright-core';
import { artefactsFolder } from './paths';
import { rejectAfter, type VsCodeServer, workbenchUrl } from './vscodeServer';

export type Theme = 'light' | 'dark' | 'highContrast';

export const colorThemes: Record<Theme, string> = {
  light: 'Default Light Modern',
  dark: 'Default Dark Modern',
  highContrast: 'Default High Contrast',
};

/** What the command that asks is called in menus. */
export const askTitle = 'Ask with AVIS…';

/** Nothing that moves, pops up or differs from run to run. */
export function quietSettings(theme: Theme): Record<string, unknown> {
  return {
    'workbench.colorTheme': colorThemes[theme],
    'workbench.startupEditor': 'none',
    'workbench.tips.enabled': false,
    'workbench.reduceMotion': 'on',
    'workbench.enableExperiments': false,
    'window.commandCenter': false,
    'chat.commandCenter.enabled': false,
    'explorer.compactFolders': false,
    // A file that opens late would take the selection in the Explorer.
    'explorer.autoReveal': false,
    'extensions.ignoreRecommendations': true,
    'git.enabled': false,
    'telemetry.telemetryLevel': 'off',
    'update.mode': 'none',
  };
}

export interface Workbench {
  page: Page;
  /** Console lines of the page and of the extension host, for failure messages. */
  console: () => string;
}

/** Opens a folder with the extensions under development and waits for the workbench. */
export async function openWorkbench(
  browser: Browser,
  server: VsCodeServer,
  options: {
    workspace: string;
    extensions: string[];
    tests?: string;
    widthPx?: number;
    heightPx?: number;
  },
): Promise<Workbench> {
  const { workspace, extensions, tests, widthPx = 1440, heightPx = 1000 } = options;
  const context = await browser.newContext({
    viewport: { width: widthPx, height: heightPx },
    permissions: ['clipboard-read', 'clipboard-write'],
  });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const lines: string[] = [];
  // The first line says it; what follows is VS Code's own stack traces.
  page.on('console', (message) => lines.push(message.text().split('\n', 1)[0]!));
  page.on('pageerror', (error) => lines.push(`page error: ${error.message}`));
  await page.goto(workbenchUrl(server, { workspace, extensions, ...(tests && { tests }) }));
  const workbench = { page, console: () => lines.join('\n') };
  await Promise.race([
    page.locator('.monaco-workbench .explorer-folders-view').first().waitFor(),
    server.ended,
  ]).catch((error: unknown) => fail(workbench, 'workbenchOpens', error));
  return workbench;
}

/**
 * Right-clicks a file in the Explorer and chooses a menu entry by its label. The menu is opened again
 * while the entry is missing (the extension's menus come a moment after the workbench), and when it
 * closed without a click: VS Code closes an open menu whenever it lays out the workbench.
 */
export async function chooseInExplorer(page: Page, file: string, label: string): Promise<void> {
  const entry = page.locator('.monaco-menu .action-item', { hasText: label }).first();
  const until = Date.now() + 60_000;
  do {
    await openMenu(page, file);
    if (await clickEntry(page, entry)) return;
    // In the Explorer itself, Escape would clear the selection.
    if (await anyEntry(page).isVisible()) await page.keyboard.press('Escape');
    await page.waitForTimeout(500);
  } while (Date.now() < until);
  throw new Error(`${file}'s menu in the Explorer has no ${label}.`);
}

/** @returns false when the entry is not there, or no longer. */
async function clickEntry(page: Page, entry: Locator): Promise<boolean> {
  if (!(await entry.isVisible())) return false;
  // A menu ignores clicks in its first 100 ms of the page's clock, which a busy machine delays.
  await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 150)));
  return succeeds(entry.click({ timeout: 5000 }));
}

/** @returns the labels of a file's menu in the Explorer. */
export async function menuOf(page: Page, file: string): Promise<string[]> {
  await openMenu(page, file);
  const labels = await page.locator('.monaco-menu .action-label').allInnerTexts();
  await page.keyboard.press('Escape');
  return labels.filter((label) => label !== '');
}

function anyEntry(page: Page): Locator {
  return page.locator('.monaco-menu .action-item').first();
}

async function openMenu(page: Page, file: string): Promise<void> {
  const row = page
    .locator('.explorer-folders-view .monaco-list-row')
    .filter({ has: page.getByText(file, { exact: true }) })
    .first();
  const until = Date.now() + 60_000;
  do {
    await row.click({ button: 'right' });
    if (await succeeds(anyEntry(page).waitFor({ timeout: 5000 }))) return;
  } while (Date.now() < until);
  throw new Error(`${file} has no menu in the Explorer.`);
}

function succeeds(attempt: Promise<void>): Promise<boolean> {
  return attempt.then(
    () => true,
    () => false,
  );
}

/** Runs a command by its title from the palette. */
export async function runCommandByTitle(page: Page, title: string): Promise<void> {
  await page.keyboard.press('F1');
  const input = quickInput(page);
  await input.waitFor();
  await input.fill(`>${title}`);
  await page
    .locator('.quick-input-list .monaco-list-row')
    .filter({ hasText: title })
    .first()
    .click();
}

export function quickInput(page: Page): Locator {
  return page.locator('.quick-input-widget input:visible').first();
}

/** @returns the inner frame of the webview that shows `selector`, once it is there. */
export async function findWebview(page: Page, selector: string, limitMs = 60_000): Promise<Frame> {
  const until = Date.now() + limitMs;
  while (Date.now() < until) {
    for (const frame of page.frames()) {
      const found = await frame
        .locator(selector)
        .first()
        .isVisible()
        .catch(() => false); // the frame was replaced meanwhile
      if (found) return frame;
    }
    await page.waitForTimeout(100);
  }
  throw new Error(`No webview shows \`${selector}\` after ${limitMs / 1000} s.`);
}

export async function saveScreenshot(page: Page, name: string): Promise<string> {
  await mkdir(artefactsFolder, { recursive: true });
  const path = join(artefactsFolder, `${name}.png`);
  await page.screenshot({ path });
  return path;
}

/** Throws `error` again with a screenshot's path and the console's last lines. */
export async function fail(workbench: Workbench, step: string, error: unknown): Promise<never> {
  const screenshot = await Promise.race([
    saveScreenshot(workbench.page, `failed-${step}`),
    rejectAfter(15_000, () => 'timeout'),
  ]).catch(() => '(none could be taken)');
  const reason = error instanceof Error ? error.message : String(error);
  const tail = workbench.console().split('\n').slice(-30).join('\n');
  throw new Error(`${step}: ${reason}\nScreenshot: ${screenshot}\nConsole:\n${tail}`, {
    cause: error,
  });
}

/** Asks about an image from the Explorer's menu, @returns the panel's frame. */
export async function askInExplorer(page: Page, image: string, question: string): Promise<Frame> {
  await chooseInExplorer(page, image, askTitle);
  const input = quickInput(page);
  await input.waitFor();
  await input.fill(question);
  await page.keyboard.press('Enter');
  return findWebview(page, '#root > *');
}

/**
 * Waits until the panel shows the end of run `id`.
 * @throws with the panel's own message when the run fails.
 */
export async function waitForRun(panel: Frame, id: number, limitMs = 120_000): Promise<void> {
  const finished = panel.locator('.answer-title', {
    hasText: new RegExp(`^Run #${id}(, vanilla)?$`),
  });
  const failed = panel.locator('.notice.error:visible');
  await finished.or(failed).first().waitFor({ timeout: limitMs });
  if (await failed.isVisible()) throw new Error(`The run failed: ${await failed.innerText()}`);
}
