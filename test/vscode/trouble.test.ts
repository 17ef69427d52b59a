import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import * as vscode from 'vscode';
import type { AvisApi } from '../../src/host/avisApi';
import type { ErrorCode } from '../../src/shared/errors';
import {
  closePanels,
  extension,
  inWorkspace,
  longSettings,
  panelTabs,
  quickSettings,
  samples,
  waitUntil,
} from './extension';

/** The rejection is one sentence for a person that names the file or says what to do. */
function rejectsWith(code: ErrorCode, message: RegExp) {
  return (error: Error & { code?: ErrorCode }) => {
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  };
}

describe('trouble', () => {
  let api: AvisApi;
  const { file, question } = samples()[0]!;
  const image = inWorkspace(file);

  before(async () => {
    api = await extension.activate();
  });
  beforeEach(async () => {
    await api.askImage(image, question, quickSettings);
  });
  afterEach(closePanels);

  it('engine killed in the middle of a run: says so, keeps the runs, answers on retry', async () => {
    const other = samples()[6]!;
    const fresh = inWorkspace(other.file); // nothing of it is cached: the run takes its time
    const run = api.askImage(fresh, other.question, longSettings);
    await waitUntil('the run is under way', () => api.engine.runningAsks === 1);
    const { processId } = api.engine;
    assert.ok(processId !== undefined);
    process.kill(processId, 'SIGKILL');
    await assert.rejects(run, rejectsWith('outOfMemory', /stopped unexpectedly.*Retry/s));
    assert.equal(api.runs(image).length, 1);

    api.receivePanelMessage(fresh, { type: 'retryEngine' });
    await waitUntil('the run that was retried has ended', () => api.runs(fresh).length === 1);
    assert.deepEqual(api.runs(fresh)[0]?.result.settings, longSettings);
    assert.notEqual(api.engine.processId, processId);
  });

  it('panel closed in the middle of a run: the run ends, the engine answers others', async () => {
    const { processId } = api.engine;
    assert.ok(processId !== undefined);
    process.kill(processId, 'SIGSTOP'); // so that the run cannot end before the panel is closed
    const run = api.askImage(image, question, longSettings);
    const rejected = assert.rejects(run, rejectsWith('canceled', /./));
    await waitUntil('the run is under way', () => api.engine.runningAsks === 1);
    assert.equal(panelTabs().length, 1);
    await closePanels();
    await rejected;
    await waitUntil('no ask is left', () => api.engine.runningAsks === 0);
    process.kill(processId, 'SIGCONT');
    const result = await api.askImage(image, question, quickSettings);
    assert.equal(result.rollouts.length, 3);
    assert.equal(api.runs(image).length, 1);
    assert.equal(api.engine.processId, processId);
  });

  it('a newer run takes the place of the one under way', async () => {
    const older = api.askImage(image, question, longSettings);
    const rejected = assert.rejects(older, rejectsWith('superseded', /newer/));
    const newer = await api.askImage(image, question, { ...quickSettings, seed: 2 });
    await rejected;
    assert.equal(newer.settings.seed, 2);
    assert.equal(api.runs(image).length, 2);
  });

  describe('images', () => {
    const cases: { name: string; bytes: () => Uint8Array | null; message: RegExp }[] = [
      { name: 'empty.png', bytes: () => new Uint8Array(), message: /empty\.png.*empty/ },
      {
        name: 'truncated.png',
        bytes: () => readFileSync(image.fsPath).subarray(0, 300),
        message: /truncated\.png/,
      },
      {
        name: 'notAnImage.png',
        bytes: () => new TextEncoder().encode('<img src=x onerror=alert(1)>'),
        message: /notAnImage\.png/,
      },
      { name: 'missing.png', bytes: () => null, message: /missing\.png.*exist/ },
    ];
    for (const { name, bytes, message } of cases) {
      it(`${name} is refused with its name and the reason`, async () => {
        const uri = inWorkspace(name);
        const content = bytes();
        if (content) await vscode.workspace.fs.writeFile(uri, content);
        await assert.rejects(
          api.askImage(uri, question, quickSettings),
          rejectsWith('badInput', message),
        );
        assert.equal(api.runs(image).length, 1);
      });
    }

    it('a folder is refused', async () => {
      const folder = inWorkspace('folder.png');
      await vscode.workspace.fs.createDirectory(folder);
      await assert.rejects(
        api.askImage(folder, question, quickSettings),
        rejectsWith('badInput', /folder\.png is a folder/),
      );
    });
  });

  describe('questions', () => {
    it('an empty one is refused', async () => {
      await assert.rejects(
        api.askImage(image, '   ', quickSettings),
        rejectsWith('badInput', /question/i),
      );
    });

    it('one of 100,000 characters is refused, not cut', async () => {
      await assert.rejects(
        api.askImage(image, 'how many stars '.repeat(7000), quickSettings),
        rejectsWith('badInput', /long|token|character/i),
      );
    });

    for (const text of ['كم عدد الدوائر؟', '🔴 how many 🔴?']) {
      it(`“${text}” is asked as it is`, async () => {
        const result = await api.askImage(image, text, quickSettings);
        assert.equal(result.question, text);
        assert.equal(result.rollouts.length, 3);
      });
    }
  });
});
