import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { EngineClient, type ModelChoice } from '../../../src/host/engineClient';
import { AvisError } from '../../../src/shared/errors';
import type { AskSettings } from '../../../src/shared/types';
import { defaultSettings } from '../../../src/avis/settings';

const script = fileURLToPath(new URL('fakeEngine.mjs', import.meta.url));
const model: ModelChoice = { folder: '/model', device: 'auto', dtype: 'auto' };
const settings: AskSettings = defaultSettings(null);

function request(question: string) {
  return { image: { name: 'a.png', bytes: new Uint8Array([1, 2, 3]) }, question, settings };
}

function hasCode(code: string, pattern: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof AvisError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, pattern);
    return true;
  };
}

describe('EngineClient', () => {
  let client: EngineClient;
  let logged: string[];
  let told: string[];
  let idleMinutes: number;

  const log = (message: string) => void logged.push(message);

  function create(options: { stopTimeoutMs?: number; hardCancelMs?: number } = {}): EngineClient {
    return new EngineClient({
      script,
      cacheFolder: '/cache',
      log: { debug: log, info: log, warn: log, error: log },
      idleMinutes: () => idleMinutes,
      tell: (message) => void told.push(message),
      ...options,
    });
  }

  const isStopping = () => client.state.status === 'ready' && client.state.stopping;

  /** Waits for the change after which `holds` is true. */
  function until(holds: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const check = () => {
        if (!holds()) return;
        subscription.dispose();
        resolve();
      };
      const subscription = client.onDidChange(check);
      check();
    });
  }

  beforeEach(() => {
    logged = [];
    told = [];
    idleMinutes = 0;
    client = create();
  });

  afterEach(async () => {
    await client.dispose();
    delete process.env.FAKE_ENGINE_DEAF;
    delete process.env.FAKE_ENGINE_STARTS;
  });

  it('loads once for several asks, and passes bytes, progress and results', async () => {
    const starts = join(mkdtempSync(join(tmpdir(), 'avis-host-')), 'starts');
    process.env.FAKE_ENGINE_STARTS = starts;
    const stages: string[] = [];
    const onProgress = (progress: { type: string }) => void stages.push(progress.type);
    const [first, second] = await Promise.all([
      client.ask(model, request('one'), { onProgress }),
      client.ask(model, request('two')),
    ]);
    assert.equal(first.question, 'one');
    assert.equal(second.question, 'two');
    assert.deepEqual([...(first as unknown as { bytes: Uint8Array }).bytes], [1, 2, 3]);
    assert.deepEqual(stages, ['askStage']);
    assert.equal(readFileSync(starts, 'utf8'), 'load\n');
    assert.equal(client.state.status, 'ready');
    assert.equal(client.runningAsks, 0);
  });

  it('tells of the load as it goes', async () => {
    const seen: string[] = [];
    client.onDidChange(() => {
      const { state } = client;
      seen.push(state.status === 'loading' ? state.message : state.status);
    });
    await client.load(model);
    assert.deepEqual(seen, ['Starting the engine', 'Reading', 'ready']);
  });

  it('keeps a failed load’s reason, and can load another model then', async () => {
    await assert.rejects(
      client.load({ ...model, folder: '/bad' }),
      hasCode('badModel', /no config\.json/),
    );
    assert.equal(client.state.status, 'failed');
    assert.equal((await client.load(model)).name, 'model');
  });

  it('replaces the process when another model is chosen', async () => {
    await client.load(model);
    const before = client.processId;
    const hanging = client.ask(model, request('hang'));
    const rejected = assert.rejects(hanging, hasCode('engineStopped', /another model/));
    await until(() => client.runningAsks === 1);
    // The ask has reached the process once a later one has been answered.
    await client.ask(model, request('one'));
    assert.equal((await client.load({ ...model, folder: '/other' })).name, 'other');
    await rejected;
    assert.notEqual(client.processId, before);
  });

  it('rejects what was pending on a crash, says why, logs stderr, and loads the model again', async () => {
    await client.load(model);
    const before = client.processId;
    const pending = assert.rejects(
      client.ask(model, request('hang')),
      hasCode('engineStopped', /exit code 134.*Retry.*Show Log/),
    );
    await assert.rejects(client.ask(model, request('crash')), hasCode('engineStopped', /134/));
    await pending;
    await until(() => client.state.status === 'ready');
    assert.notEqual(client.processId, before);
    assert.ok(logged.includes('native trouble'), logged.join('\n'));
    assert.equal((await client.ask(model, request('again'))).question, 'again');
  });

  it('names memory when the system killed the process', async () => {
    await assert.rejects(
      client.ask(model, request('killed')),
      hasCode('outOfMemory', /SIGKILL.*memory/),
    );
  });

  it('is not started a sixth time after five crashes, until it is restarted by hand', async () => {
    const crash = { ...model, folder: '/crash' };
    for (let count = 1; count <= 4; count++) {
      await assert.rejects(client.load(crash), hasCode('engineStopped', /exit code 7/));
    }
    await assert.rejects(client.load(crash), hasCode('engineStopped', /five times/));
    await assert.rejects(client.load(model), hasCode('engineStopped', /Restart Engine/));
    assert.equal(client.processId, undefined);
    await client.restart();
    assert.equal((await client.load(model)).name, 'model');
  });

  it('rejects a canceled ask at once and keeps a process that comes back from it', async () => {
    client = create({ hardCancelMs: 50 });
    await client.load(model);
    const before = client.processId;
    const controller = new AbortController();
    const asked = client.ask(model, request('hang politely'), { signal: controller.signal });
    // The ask has reached the process once a later one has been answered.
    await client.ask(model, request('one'));
    controller.abort();
    await assert.rejects(asked, hasCode('canceled', /Canceled/));
    assert.equal(isStopping(), true);
    await until(() => !isStopping());
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal(client.processId, before);
    assert.deepEqual(told, []);
  });

  it('kills a process that doesn’t come back from a cancel, says so, and loads the model again', async () => {
    client = create({ hardCancelMs: 50 });
    await client.load(model);
    const before = client.processId;
    const controller = new AbortController();
    const asked = client.ask(model, request('hang'), { signal: controller.signal });
    // The ask has reached the process once a later one has been answered.
    await client.ask(model, request('one'));
    controller.abort();
    await assert.rejects(asked, hasCode('canceled', /Canceled/));
    assert.equal(isStopping(), true);
    await until(() => client.processId !== before && client.state.status === 'ready');
    assert.equal(isStopping(), false);
    assert.match(told.join(), /did not stop in time.*restarted/);
  });

  it('leaves a process alone that another ask waits for, until that one is canceled too', async () => {
    client = create({ hardCancelMs: 50 });
    await client.load(model);
    const before = client.processId;
    const first = new AbortController();
    const second = new AbortController();
    const asked = client.ask(model, request('hang'), { signal: first.signal });
    const other = client.ask(model, request('hang'), { signal: second.signal });
    await client.ask(model, request('one'));
    first.abort();
    await assert.rejects(asked, hasCode('canceled', /Canceled/));
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal(client.processId, before);
    second.abort();
    await assert.rejects(other, hasCode('canceled', /Canceled/));
    await until(() => client.processId !== before && client.state.status === 'ready');
  });

  it('ends the load that a canceled ask was waiting for, unless another ask waits for it', async () => {
    const slow = { ...model, folder: '/slow' };
    const controller = new AbortController();
    const options = { signal: controller.signal };
    const other = client.ask(slow, request('two'));
    const joined = client.ask(slow, request('one'), options);
    controller.abort();
    await assert.rejects(joined, hasCode('canceled', /Canceled/));
    assert.equal(client.state.status, 'loading');
    void assert.rejects(other, hasCode('engineStopped', /restarted/));
    await client.restart();
    const again = new AbortController();
    const asked = client.ask(slow, request('one'), { signal: again.signal });
    again.abort();
    await assert.rejects(asked, hasCode('canceled', /Canceled/));
    assert.equal(client.state.status, 'unloaded');
    assert.equal(client.processId, undefined);
  });

  it('never kills for a superseding run', async () => {
    client = create({ hardCancelMs: 50 });
    await client.load(model);
    const before = client.processId;
    const controller = new AbortController();
    const asked = client.ask(model, request('hang'), { signal: controller.signal });
    await client.ask(model, request('one'));
    controller.abort(new AvisError('superseded', 'A newer run took its place.'));
    await assert.rejects(asked, hasCode('superseded', /newer/));
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal(client.processId, before);
  });

  it('unloads an idle model and starts again for the next ask', async () => {
    idleMinutes = 0.05 / 60;
    await client.ask(model, request('one'));
    await until(() => client.state.status === 'unloaded');
    assert.equal(client.processId, undefined);
    assert.equal((await client.ask(model, request('two'))).question, 'two');
  });

  it('shows an image without a model, and ends the idle process then', async () => {
    idleMinutes = 0.05 / 60;
    const png = await client.preview({ name: 'a.tiff', bytes: new Uint8Array([9]) }, 100);
    assert.deepEqual([...png], [9]);
    assert.equal(client.state.status, 'unloaded');
    await until(() => client.processId === undefined);
  });

  it('kills a process that doesn’t end when it is asked to', async () => {
    process.env.FAKE_ENGINE_DEAF = '1';
    client = create({ stopTimeoutMs: 50 });
    await client.load(model);
    await client.restart();
    assert.equal(client.processId, undefined);
    assert.equal(client.state.status, 'unloaded');
  });

  it('says so when the process can’t be started', async () => {
    client = new EngineClient({
      script: join(tmpdir(), 'no-such-script.mjs'),
      cacheFolder: '/cache',
      log: { debug: log, info: log, warn: log, error: log },
      idleMinutes: () => 0,
      tell: () => {},
    });
    await assert.rejects(client.load(model), hasCode('engineStopped', /exit code 1/));
    assert.match(logged.join('\n'), /no-such-script/);
  });
});
