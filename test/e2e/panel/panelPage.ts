/** The panel's built page in a browser of its own, with the test as its host. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Browser, Locator, Page } from 'playwright-core';
import sharp from 'sharp';
import { panelHtml } from '../../../src/host/panelHtml';
import type { HostMessage, PanelMessage } from '../../../src/shared/panelProtocol';
import { root } from '../../scripts/paths';

/** What stands in for VS Code in the page. */
interface PageGlobals {
  posted: PanelMessage[];
}

const origin = 'http://panel.test';
const nonce = 'n';
const vsCodeApi = `
  window.posted = [];
  window.acquireVsCodeApi = () => ({
    postMessage: (message) => window.posted.push(message),
    getState: () => JSON.parse(sessionStorage.getItem('state') ?? 'null') ?? undefined,
    setState: (state) => sessionStorage.setItem('state', JSON.stringify(state)),
  });`;

export class PanelPage {
  /** Whatever the page said of its content policy, and errors nobody caught. */
  readonly complaints: string[] = [];

  private constructor(readonly page: Page) {}

  static async open(browser: Browser, widthPx = 1400): Promise<PanelPage> {
    const page = await browser.newPage({ viewport: { width: widthPx, height: 900 } });
    const panel = new PanelPage(page);
    page.on('pageerror', (error) => panel.complaints.push(error.message));
    page.on('console', (message) => {
      if (message.text().includes('Content Security Policy')) {
        panel.complaints.push(message.text());
      }
    });
    const image = await sharp({
      create: { width: 400, height: 300, channels: 3, background: '#808080' },
    })
      .png()
      .toBuffer();
    await page.addInitScript({ content: vsCodeApi });
    await page.route(`${origin}/**`, async (route) => {
      const { pathname } = new URL(route.request().url());
      if (pathname === '/image.png') await route.fulfill({ body: image, contentType: 'image/png' });
      else if (pathname === '/') {
        const page = { cspSource: origin, nonce, scriptSrc: 'panel.js', styleSrc: 'panel.css' };
        await route.fulfill({ body: panelHtml(page), contentType: 'text/html' });
      } else if (pathname === '/panel.js' || pathname === '/panel.css') {
        const contentType = pathname.endsWith('.js') ? 'text/javascript' : 'text/css';
        await route.fulfill({ body: await readFile(join(root, 'out', pathname)), contentType });
      } else await route.fulfill({ status: 404 });
    });
    await panel.load();
    return panel;
  }

  /** Loads the page anew, as VS Code does when a hidden panel is shown again. */
  async load(): Promise<void> {
    await this.page.goto(`${origin}/`);
  }

  /** Posts messages as the host does and waits for the next frame. */
  async send(...messages: HostMessage[]): Promise<void> {
    for (const message of messages) {
      await this.page.evaluate((data) => window.postMessage(data, '*'), message);
    }
    await this.nextFrame();
  }

  async nextFrame(): Promise<void> {
    await this.page.evaluate(
      () =>
        new Promise<void>((resolve) => {
          requestAnimationFrame(() => requestAnimationFrame(() => resolve()));
        }),
    );
  }

  /** What the panel has posted since this was last asked. */
  async posted(): Promise<PanelMessage[]> {
    return this.page.evaluate(() => (window as unknown as PageGlobals).posted.splice(0));
  }

  get stage(): Locator {
    return this.page.getByRole('application');
  }

  get runs(): Locator {
    return this.page.locator('#runs tr[data-id]');
  }

  readout(): Promise<string> {
    return this.page.locator('.readout').innerText();
  }

  slider(name: string): Locator {
    return this.page.getByRole('slider', { name, exact: true });
  }
}
