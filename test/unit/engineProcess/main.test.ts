import { match, ok, rejects, strictEqual } from 'node:assert/strict';
import { build } from 'esbuild';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type {
  EngineProgress,
  EngineReplies,
  EngineRequest,
} from '../../../src/shared/engineProtocol';
import { AvisError } from '../../../src/shared/errors';
import { RpcClient } from '../../../src/shared/rpc';
import { fusedCheckpoint, testSettings } from '../engine/models';
import { fixtureImage } from '../engine/reference';

const root = join(import.meta.dirname, '../../..');
/** Within the project, so that the native packages are found. */
const buildFolder = join(root, 'out/test-engineProcess');
const cacheFolder = join(buildFolder, 'cache');
const script = join(buildFolder, 'main.mjs');

class EngineProcess {
  readonly child: ChildProcess;
  readonly rpc: RpcClient<EngineRequest, EngineReplies, EngineProgress>;
  errors = '';

  constructor() {
    this.child = fork(script, {
      serialization: 'advanced',
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.child.stderr!.on('data', (text) => (this.errors += String(text)));
    this.rpc = new RpcClient({
      post: (message) => void this.child.send(message as object),
      onMessage: (listener) => void this.child.on('message', listener),
    });
    this.child.on('exit', () => {
      this.rpc.close(new AvisError('engineStopped', 'The engine stopped.'));
    });
  }

  load(folder = fusedCheckpoint, signal?: AbortSignal) {
    return this.rpc.request<'loadModel'>(
      { type: 'loadModel', folder, device: 'cpu', dtype: 'auto', cacheFolder },
      signal ? { signal } : {},
    );
  }

  ask(maxNewTokens: number, options: Parameters<typeof this.rpc.request<'ask'>>[1] = {}) {
    const settings = testSettings({ maxNewTokens });
    return this.rpc.request<'ask'>(
      { type: 'ask', image: fixtureImage('wide'), question: 'What is it?', settings },
      options,
    );
  }

  async ended(): Promise<{ code: number | null; signal: string | null }> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      await once(this.child, 'exit');
    }
    return { code: this.child.exitCode, signal: this.child.signalCode };
  }
}

describe('engine process', () => {
  let engine: EngineProcess;
  before(async () => {
    mkdirSync(buildFolder, { recursive: true });
    await build({
      entryPoints: [join(root, 'src/engineProcess/main.ts')],
      outfile: script,
      bundle: true,
      platform: 'node',
      format: 'esm',
      external: ['onnxruntime-node', 'sharp'],
      banner: {
        js: "import { createRequire as createRequireFromUrl } from 'node:module'; const require = createRequireFromUrl(import.meta.url);",
      },
      logLevel: 'error',
    });
  });
  after(() => rmSync(buildFolder, { recursive: true, force: true }));
  beforeEach(() => {
    engine = new EngineProcess();
  });
  afterEach(async () => {
    engine.child.kill('SIGKILL');
    await engine.ended();
  });

  it('loads, answers with progress, unloads and loads again', async () => {
    const info = await engine.load();
    strictEqual(info.family, 'qwen2_5_vl');
    const stages: string[] = [];
    const result = await engine.ask(8, {
      onProgress: (progress) => {
        if (progress.type === 'askStage') stages.push(progress.stage);
      },
    });
    strictEqual(result.rollouts.length, 3);
    strictEqual(stages.join(), 'decodeImage,vision,prefill,rollouts');
    strictEqual(await engine.rpc.request({ type: 'unloadModel' }), null);
    await rejects(engine.ask(8), /No model is loaded/);
    await engine.load();
    strictEqual((await engine.ask(8)).rollouts.length, 3);
  });

  it('cancels within the run and answers the next ask', async () => {
    await engine.load();
    const controller = new AbortController();
    const onProgress = (progress: EngineProgress['ask']) => {
      // Its text would come too late where the model ends its turn within the first 40 ms.
      if (progress.type === 'askStage' && progress.stage === 'rollouts') controller.abort();
    };
    const canceled = engine.ask(4000, { signal: controller.signal, onProgress });
    await rejects(canceled, { code: 'canceled' });
    const started = engine.ask(8);
    strictEqual((await started).rollouts.length, 3);
  });

  it('keeps its model when a load that waited for its turn is canceled', async () => {
    const controller = new AbortController();
    const loading = engine.load();
    const canceled = engine.load(fusedCheckpoint, controller.signal);
    controller.abort();
    await rejects(canceled, { code: 'canceled' });
    await loading;
    strictEqual((await engine.ask(8)).rollouts.length, 3);
  });

  it('reports a broken checkpoint and stays alive', async () => {
    await rejects(engine.load(join(root, 'src')), {
      code: 'badModel',
      message: /has no config\.json/,
    });
    strictEqual((await engine.load()).family, 'qwen2_5_vl');
  });

  it('rejects what was pending when it is killed in mid-run', async () => {
    await engine.load();
    const pending = engine.ask(4000, { onProgress: () => engine.child.kill('SIGKILL') });
    await rejects(pending, { code: 'engineStopped' });
    strictEqual((await engine.ended()).signal, 'SIGKILL');
  });

  it('ends when its parent goes away, even in mid-run', async () => {
    await engine.load();
    const pending = engine.ask(4000, { onProgress: () => disconnect(engine.child) });
    await rejects(pending, { code: 'engineStopped' });
    strictEqual((await engine.ended()).code, 0);
  });

  it('is never an orphan when its parent is killed', async () => {
    const parent = fork(join(import.meta.dirname, 'parent.mjs'), [script], { stdio: 'pipe' });
    const [pid] = (await once(parent, 'message')) as [number];
    ok(isAlive(pid));
    parent.kill('SIGKILL');
    await once(parent, 'exit');
    while (isAlive(pid)) await delay(50);
  });

  it('says why it ends on an error that nobody caught', async () => {
    await engine.load();
    engine.child.send(null as unknown as object); // no message of ours
    const { code } = await engine.ended();
    strictEqual(code, 1);
    match(engine.errors, /The engine stopped: /);
  });
});

function disconnect(child: ChildProcess): void {
  if (child.connected) child.disconnect();
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
