/** The panel in a browser, without VS Code: what it shows of the host's messages, what it asks. */
import assert from 'node:assert/strict';
import type { Browser } from 'playwright-core';
import type { HostMessage, RunRecord } from '../../src/shared/panelProtocol';
import type { AskProgress } from '../../src/shared/engineProtocol';
import { launchBrowser } from '../scripts/browser';
import { modelInfo, record, settingsWith, subject } from '../unit/webview/fixtures';
import { PanelPage } from './panel/panelPage';

const image = { uri: 'file:///image.png', webviewSrc: 'image.png', name: 'image.png' };

function opened(runs: RunRecord[], autoRun = true): HostMessage {
  const settings = settingsWith({ prune: { mode: 'fixed', ratio: 0.5 } });
  return subject({ image, runs, autoRun, settings });
}

const first = record(1, { settings: settingsWith({ prune: { mode: 'fixed', ratio: 0.5 } }) });
const second = record(2, {
  settings: settingsWith({ prune: { mode: 'fixed', ratio: 0.75 }, seed: 3 }),
  answers: ['blue', 'blue', 'red'],
});

function started(id: number): HostMessage {
  const { settings, question } = first.result;
  return { type: 'startRun', id, purpose: 'run', question, settings };
}

function progress(id: number, value: AskProgress): HostMessage {
  return { type: 'updateRun', id, progress: value };
}

describe('the panel in a browser', () => {
  let browser: Browser;
  let panel: PanelPage;

  before(async () => {
    browser = await launchBrowser();
  });
  beforeEach(async () => {
    panel = await PanelPage.open(browser);
  });
  afterEach(async () => {
    assert.deepEqual(panel.complaints, []);
    await panel.page.close();
  });
  after(() => browser?.close());

  it('says it is ready, and nothing else, before the host speaks', async () => {
    assert.deepEqual(await panel.posted(), [{ type: 'ready' }]);
  });

  it('follows a dragged slider without a message and asks once on release', async () => {
    await panel.send(opened([first]));
    await panel.posted();
    const kept = panel.page.locator('.group-figure').first();
    assert.equal(await kept.innerText(), '6 of 12 kept');
    const { x, y, width, height } = (await panel.slider('ρ').boundingBox())!;
    const { mouse } = panel.page;
    await mouse.move(x + width / 2, y + height / 2);
    await mouse.down();
    await mouse.move(x + width, y + height / 2, { steps: 4 });
    await panel.nextFrame();
    assert.equal(await kept.innerText(), '1 of 12 kept');
    assert.equal(await panel.slider('ρ').getAttribute('aria-valuetext'), '0.99, 1 of 12 kept');
    assert.match(
      await panel.page.locator('#compute .predicted').innerText(),
      / (saved|more), predicted$/,
    );
    assert.deepEqual(await panel.posted(), []);
    await mouse.up();
    const [message, ...others] = await panel.posted();
    assert.ok(message?.type === 'ask' && others.length === 0);
    assert.deepEqual(message.settings.prune, { mode: 'fixed', ratio: 0.99 });
    assert.equal(message.question, 'What colour?');
  });

  it('asks once when several keys have moved a slider', async () => {
    await panel.send(opened([first]));
    await panel.posted();
    await panel.slider('ρ').focus();
    // The page's clock stands still, so that a busy machine makes no pause between the keys.
    await panel.page.clock.install();
    await panel.page.clock.pauseAt(Date.now() + 60_000);
    for (let press = 0; press < 5; press += 1) await panel.page.keyboard.press('ArrowRight');
    assert.deepEqual(await panel.posted(), []);
    await panel.page.clock.runFor(1000);
    const messages = await panel.posted();
    assert.equal(messages.length, 1);
    assert.ok(messages[0]?.type === 'ask');
    assert.deepEqual(messages[0].settings.prune, { mode: 'fixed', ratio: 0.55 });
  });

  it('asks nothing by itself without auto-run, and what is set on Run', async () => {
    await panel.send(opened([first], false));
    await panel.posted();
    await panel.page.getByRole('checkbox', { name: 'Thinking' }).uncheck();
    assert.deepEqual(await panel.posted(), []);
    await panel.page.getByRole('textbox', { name: 'Question' }).fill('  How many?  ');
    await panel.page.getByRole('button', { name: 'Run' }).click();
    const [message] = await panel.posted();
    assert.ok(message?.type === 'ask');
    assert.equal(message.question, 'How many?');
    assert.equal(message.settings.thinking, false);
  });

  it('reads the token under the pointer and under the keyboard’s cursor', async () => {
    await panel.send(opened([first]));
    await panel.stage.hover({ position: { x: 5, y: 5 } });
    assert.equal(
      await panel.readout(),
      'row 1 of 3, column 1 of 4 · score −0.95 · rank 12 of 12 · pruned',
    );
    await panel.page.mouse.move(0, 0);
    await panel.stage.focus();
    for (const key of ['Control+End', 'ArrowLeft', 'ArrowUp']) await panel.page.keyboard.press(key);
    assert.equal(
      await panel.readout(),
      'row 2 of 3, column 3 of 4 · score −0.65 · rank 6 of 12 · kept',
    );
  });

  it('zooms with Ctrl and the wheel, and fits again', async () => {
    await panel.send(opened([first]));
    const zoom = panel.page.locator('.zoom-label');
    const fitted = await zoom.innerText();
    await panel.stage.hover();
    await panel.page.keyboard.down('Control');
    await panel.page.mouse.wheel(0, -200);
    await panel.page.keyboard.up('Control');
    await panel.page.waitForFunction(
      (before) => document.querySelector('.zoom-label')?.textContent !== before,
      fitted,
    );
    assert.ok(Number.parseFloat(await zoom.innerText()) > Number.parseFloat(fitted));
    await panel.stage.focus();
    await panel.page.keyboard.press('0');
    assert.equal(await zoom.innerText(), fitted);
  });

  it('shows a picture that comes after the rest', async () => {
    await panel.send({ ...subject({ runs: [] }), image: { ...image, webviewSrc: '' } });
    assert.equal(await panel.page.locator('#image .note').isVisible(), false);
    await panel.send({ type: 'showImage', webviewSrc: 'image.png' });
    await panel.page.waitForFunction(() => {
      const canvas = document.querySelector<HTMLCanvasElement>('#image canvas')!;
      const { data } = canvas.getContext('2d')!.getImageData(canvas.width / 2, 50, 1, 1);
      return data[0] === 0x80 && data[3] === 255;
    });
  });

  it('streams reasoning as text, collapsed until it is opened', async () => {
    const markup = '<think>A <img src=x onerror=alert(1)> <b>bold</b> guess';
    const { visual, difficulty, rollouts } = first.result;
    await panel.send(
      opened([]),
      started(1),
      progress(1, { type: 'visual', image: { width: 400, height: 300 }, visual }),
      progress(1, { type: 'difficulty', difficulty }),
      progress(1, { type: 'rolloutText', index: 0, text: markup, tokens: 5 }),
    );
    const reasoning = panel.page.locator('.reasoning').first();
    assert.equal(await reasoning.isVisible(), false);
    await panel.page.locator('.rollouts summary').first().click();
    assert.equal(await reasoning.innerText(), 'A <img src=x onerror=alert(1)> <b>bold</b> guess');
    assert.equal(await panel.page.locator('#rollouts img, #rollouts b').count(), 0);
    await panel.send(progress(1, { type: 'rolloutDone', rollout: rollouts[0]! }));
    assert.equal(await reasoning.isVisible(), true);
    assert.equal(await reasoning.innerText(), 'so');
    assert.equal(await panel.page.locator('#answer .answer').innerText(), 'red');
    await panel.page.getByRole('button', { name: 'Stop' }).click();
    assert.deepEqual((await panel.posted()).at(-1), { type: 'cancelRun' });
  });

  it('says what failed, offers a retry, and keeps the runs', async () => {
    const error = { code: 'engineStopped', message: 'The engine ended. Retry it.' } as const;
    await panel.send(opened([first]), started(2), { type: 'failRun', id: 2, error });
    assert.match(await panel.page.getByRole('alert').innerText(), /The engine ended\. Retry it\./);
    assert.equal(await panel.runs.count(), 1);
    await panel.page.getByRole('button', { name: 'Retry' }).click();
    assert.deepEqual((await panel.posted()).at(-1), { type: 'retryEngine' });
  });

  it('shows a run again, compares two, and exports the one on show', async () => {
    await panel.send(opened([first, second]));
    await panel.runs.nth(0).click();
    await panel.nextFrame();
    assert.equal(await panel.page.locator('.answer-title').innerText(), 'Run #1');
    assert.equal(await panel.slider('ρ').inputValue(), '0.5');
    await panel.runs.nth(0).focus();
    await panel.page.keyboard.press('ArrowDown');
    await panel.page.keyboard.press('c');
    await panel.nextFrame();
    const key = await panel.page.locator('.compare-key').innerText();
    assert.match(key, /only #1: 3\s+only #2: 0\s+both: 3\s+neither: 6/);
    const differing = panel.page.locator('.differences .differs th');
    assert.ok((await differing.allInnerTexts()).includes('answer'));
    await panel.posted();
    await panel.page.getByRole('button', { name: 'Copy reference flags' }).click();
    assert.deepEqual(await panel.posted(), [{ type: 'exportConfig', runId: 1, to: 'flags' }]);
  });

  it('measures vanilla and counts against it from then on', async () => {
    await panel.send(opened([first]));
    await panel.posted();
    await panel.page.getByRole('button', { name: 'Measure vanilla' }).click();
    const [message] = await panel.posted();
    assert.ok(message?.type === 'ask' && message.purpose === 'vanilla');
    const vanilla = record(2, {
      purpose: 'vanilla',
      answers: ['red'],
      settings: { ...first.result.settings, prune: { mode: 'fixed', ratio: 0 } },
    });
    await panel.send({ type: 'finishRun', record: vanilla });
    assert.match(await panel.page.locator('#compute').innerText(), /Vanilla was measured\./);
    assert.equal(await panel.page.locator('.answer-title').innerText(), 'Run #1');
  });

  it('comes back from being hidden with its draft, its view and its runs', async () => {
    await panel.send(opened([first, second], false));
    await panel.runs.nth(0).click();
    await panel.page.getByRole('textbox', { name: 'Question' }).fill('A draft?');
    await panel.page.waitForFunction(() =>
      sessionStorage.getItem('state')?.includes('"question":"A draft?","settings"'),
    );
    await panel.load();
    await panel.send(opened([first, second], false));
    const question = panel.page.getByRole('textbox', { name: 'Question' });
    assert.equal(await question.inputValue(), 'A draft?');
    assert.equal(await panel.page.locator('.answer-title').innerText(), 'Run #1');
    assert.equal(await panel.runs.count(), 2);
  });

  it('goes from a row of the runs to its own button, and then on', async () => {
    const { page } = panel;
    const third = record(3, { settings: settingsWith({ seed: 5 }) });
    await panel.send(opened([first, second, third]));
    const focused = () =>
      page.evaluate(() => {
        const node = document.activeElement!;
        return node.getAttribute('aria-label') ?? node.textContent;
      });
    await page.getByRole('button', { name: 'Measure vanilla' }).focus();
    await page.keyboard.press('Tab'); // to the row on show
    assert.equal(await page.locator('.table-hint').isVisible(), true);
    await page.keyboard.press('Tab');
    assert.equal(await focused(), 'Save JSON…');
    await page.keyboard.press('Shift+Tab');
    await page.keyboard.press('ArrowUp');
    await page.keyboard.press('Tab');
    assert.equal(await focused(), 'Compare #2');
    await page.keyboard.press('Enter');
    await panel.nextFrame();
    assert.equal(await focused(), 'Stop comparing #2');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Tab'); // the row on show follows, whose button is disabled
    assert.equal(await focused(), 'Save JSON…');
  });

  it('hides nothing that has the focus below the question', async () => {
    const { page } = panel;
    await page.setViewportSize({ width: 400, height: 500 });
    await panel.send(opened([first, second]));
    await page.getByRole('button', { name: 'Copy reference flags' }).focus();
    for (let press = 0; press < 30; press += 1) {
      await page.keyboard.press('Shift+Tab');
      const covered = await page.evaluate(() => {
        const { activeElement } = document;
        const question = document.querySelector('.top')!;
        const bottom = question.getBoundingClientRect().bottom;
        const inside = question.contains(activeElement);
        return !inside && activeElement!.getBoundingClientRect().top < bottom
          ? activeElement!.outerHTML
          : '';
      });
      assert.equal(covered, '');
    }
  });

  it('gives the focus back to the control that had it, once the page has it again', async () => {
    await panel.send(opened([first]));
    await panel.page.getByRole('button', { name: 'tiny · cpu' }).focus();
    const returned = await panel.page.evaluate(() => {
      const before = document.activeElement as HTMLElement;
      before.blur();
      window.dispatchEvent(new Event('focus'));
      return document.activeElement === before;
    });
    assert.equal(returned, true);
  });

  it('closes the model’s card on Escape, and stops the run only on the next', async () => {
    const { page } = panel;
    await panel.send(opened([]), started(1));
    await panel.posted();
    await page.locator('.model-notes summary').click();
    await page.keyboard.press('Escape');
    assert.equal(await page.locator('.model-card').isVisible(), false);
    assert.deepEqual(await panel.posted(), []);
    await page.keyboard.press('Escape');
    assert.deepEqual(await panel.posted(), [{ type: 'cancelRun' }]);
  });

  it('takes no recent question by an arrow key before it was seen', async () => {
    await panel.send({ ...opened([first]), recentQuestions: ['How many?'] } as HostMessage);
    await panel.page.getByRole('combobox', { name: 'Recent questions' }).focus();
    await panel.page.keyboard.press('ArrowDown');
    await panel.page.keyboard.press('Escape');
    const question = panel.page.getByRole('textbox', { name: 'Question' });
    assert.equal(await question.inputValue(), first.result.question);
  });

  it('says that a canceled run is stopping', async () => {
    const model = { status: 'ready', model: modelInfo, stopping: true } as const;
    await panel.send(opened([]), { type: 'updateModel', model });
    assert.equal(await panel.page.getByRole('status').innerText(), 'stopping');
    await panel.send({ type: 'updateModel', model: { ...model, stopping: false } });
    assert.equal(await panel.page.getByRole('status').innerText(), '');
  });

  it('keeps a run at the moment it ends', async () => {
    await panel.send(opened([]), started(1));
    const kept = await panel.page.evaluate(
      (data) =>
        new Promise((resolve) => {
          addEventListener('message', () => resolve(sessionStorage.getItem('state')));
          window.postMessage(data, '*');
        }),
      { type: 'finishRun', record: first } satisfies HostMessage,
    );
    assert.equal((JSON.parse(String(kept)) as { runs: unknown[] }).runs.length, 1);
  });

  it('never scrolls sideways, from 400 px up', async () => {
    await panel.send(opened([first, second]));
    for (const width of [400, 480, 760, 900, 1180, 1400]) {
      await panel.page.setViewportSize({ width, height: 900 });
      await panel.page.waitForFunction(
        () => document.documentElement.scrollWidth <= document.documentElement.clientWidth,
        null,
        { timeout: 5000 },
      );
    }
  });
});
