import assert from 'node:assert/strict';
import { defaultSettings } from '../../../src/avis/settings';
import { ImageSession, type ImageSessionOptions } from '../../../src/host/imageSession';
import type { AskProgress } from '../../../src/shared/engineProtocol';
import { AvisError } from '../../../src/shared/errors';
import type { HostMessage, ModelState } from '../../../src/shared/panelProtocol';
import type { AskSettings, ModelInfo, RunResult } from '../../../src/shared/types';

type Engine = ImageSessionOptions['engine'];

/** An engine whose asks end when the test says so. */
class ManualEngine {
  state: ModelState = { status: 'unloaded' };
  readonly asks: {
    question: string;
    settings: AskSettings;
    progress: (progress: AskProgress) => void;
    resolve: (result: RunResult) => void;
    reject: (error: Error) => void;
  }[] = [];
  policy: ModelInfo['policy'] = null;

  load: Engine['load'] = () => {
    const model = { name: 'model', policy: this.policy } as ModelInfo;
    this.state = { status: 'ready', model, stopping: false };
    return Promise.resolve(model);
  };

  ask: Engine['ask'] = (_choice, { question, settings }, { signal, onProgress } = {}) =>
    new Promise((resolve, reject) => {
      this.asks.push({ question, settings, progress: onProgress!, resolve, reject });
      signal?.addEventListener('abort', () => reject(signal.reason as Error));
    });
}

const result = { question: 'q' } as RunResult;
const subject = {
  image: { uri: 'file:///a.png', webviewSrc: 'src', name: 'a.png' },
  recentQuestions: [],
  autoRun: true,
};

/** Lets promises that are already settled go on. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

describe('ImageSession', () => {
  let engine: ManualEngine;
  let posted: HostMessage[];
  let readImage: ImageSessionOptions['readImage'];
  let session: ImageSession;

  beforeEach(() => {
    engine = new ManualEngine();
    posted = [];
    readImage = () => Promise.resolve({ name: 'a.png', bytes: new Uint8Array(1) });
    session = new ImageSession({
      engine,
      readImage: () => readImage(),
      modelChoice: () => ({ folder: '/model', device: 'auto', dtype: 'auto' }),
      startSettings: defaultSettings,
      post: (message) => posted.push(message),
    });
  });

  const types = () => posted.map(({ type }) => type);

  it('asks with what the model was calibrated for, and keeps the run', async () => {
    engine.policy = { bins: [], tauDegrees: 30, temperature: 0.5, topP: 0.8, maxNewTokens: 64 };
    const running = session.run('how many?');
    await settle();
    const [ask] = engine.asks;
    assert.deepEqual(ask?.settings.prune, { mode: 'adaptive', tauDegrees: 30 });
    ask?.resolve(result);
    assert.equal(await running, result);
    assert.deepEqual(types(), ['startRun', 'startRun', 'finishRun']);
    assert.deepEqual(
      session.runs.map(({ id, purpose }) => ({ id, purpose })),
      [{ id: 1, purpose: 'run' }],
    );
    assert.equal(session.models.get(1)?.name, 'model');
  });

  it('lets a newer run supersede the one under way', async () => {
    const older = session.run('one', defaultSettings(null));
    await settle();
    const newer = session.run('one', { ...defaultSettings(null), seed: 7 });
    await assert.rejects(
      older,
      (error: unknown) => error instanceof AvisError && error.code === 'superseded',
    );
    await settle();
    assert.equal(engine.asks[1]?.settings.seed, 7);
    engine.asks[1]?.resolve(result);
    await newer;
    assert.deepEqual(
      session.runs.map(({ id }) => id),
      [2],
    );
    const failure = posted.find((message) => message.type === 'failRun');
    assert.equal(failure?.id, 1);
  });

  it('measures vanilla with all tokens and one rollout, and keeps the panel’s settings', async () => {
    const settings = defaultSettings(null);
    session.settings = settings;
    const running = session.run('q', settings, 'vanilla');
    await settle();
    assert.deepEqual(engine.asks[0]?.settings.prune, { mode: 'fixed', ratio: 0 });
    assert.deepEqual(engine.asks[0]?.settings.rollouts, { mode: 'fixed', k: 1 });
    engine.asks[0]?.resolve(result);
    await running;
    assert.equal(session.settings, settings);
    assert.equal(session.runs[0]?.purpose, 'vanilla');
  });

  it('tells of an unreadable image and asks nothing', async () => {
    readImage = () => Promise.reject(new AvisError('badInput', 'a.png is empty.'));
    await assert.rejects(session.run('q'), /empty/);
    assert.equal(engine.asks.length, 0);
    const last = posted.at(-1);
    assert.deepEqual(last?.type === 'failRun' && last.error.message, 'a.png is empty.');
  });

  it('tells a panel that comes later why the newest run failed, until another starts', async () => {
    readImage = () => Promise.reject(new AvisError('badInput', 'a.png is empty.'));
    await assert.rejects(session.run('q'), /empty/);
    posted.length = 0;
    session.replay(subject, null);
    // No start: it would put the failed run's question over what was typed since.
    assert.deepEqual(types(), ['showSubject', 'failRun']);
    readImage = () => Promise.resolve({ name: 'a.png', bytes: new Uint8Array(1) });
    const running = session.run('q');
    await settle();
    engine.asks[0]?.resolve(result);
    await running;
    posted.length = 0;
    session.replay(subject, null);
    assert.deepEqual(types(), ['showSubject']);
  });

  it('keeps earlier runs when a later one fails, and can retry', async () => {
    const first = session.run('q', defaultSettings(null));
    await settle();
    engine.asks[0]?.resolve(result);
    await first;
    const second = session.run('q', { ...defaultSettings(null), seed: 3 });
    await settle();
    engine.asks[1]?.reject(new AvisError('engineStopped', 'The engine stopped.'));
    await assert.rejects(second, /stopped/);
    assert.equal(session.runs.length, 1);
    const retried = session.retry();
    await settle();
    assert.equal(engine.asks[2]?.settings.seed, 3);
    engine.asks[2]?.resolve(result);
    await retried;
    assert.deepEqual(
      session.runs.map(({ id }) => id),
      [1, 3],
    );
    // Another panel's crash is said here too, and has nothing of this panel to run again.
    await session.retry();
    assert.equal(engine.asks.length, 3);
  });

  it('can be canceled while the model loads', async () => {
    engine.load = () => new Promise(() => {});
    const running = session.run('q');
    await settle();
    session.cancel();
    await assert.rejects(
      running,
      (error: unknown) => error instanceof AvisError && error.code === 'canceled',
    );
  });

  it('shows a panel that comes later the run under way, each rollout’s newest text once', async () => {
    const running = session.run('q', defaultSettings(null));
    await settle();
    const ask = engine.asks[0]!;
    ask.progress({ type: 'askStage', stage: 'vision' });
    ask.progress({ type: 'askStage', stage: 'rollouts' });
    ask.progress({ type: 'rolloutText', index: 0, text: 'a', tokens: 1 });
    ask.progress({ type: 'rolloutText', index: 1, text: 'x', tokens: 1 });
    ask.progress({ type: 'rolloutText', index: 0, text: 'ab', tokens: 2 });
    posted.length = 0;
    session.replay(subject, null);
    assert.deepEqual(types(), ['showSubject', 'startRun', 'updateRun', 'updateRun', 'updateRun']);
    const updates = posted.flatMap((message) =>
      message.type === 'updateRun' ? [message.progress] : [],
    );
    assert.deepEqual(updates, [
      { type: 'askStage', stage: 'rollouts' },
      { type: 'rolloutText', index: 0, text: 'ab', tokens: 2 },
      { type: 'rolloutText', index: 1, text: 'x', tokens: 1 },
    ]);
    ask.resolve(result);
    await running;
  });

  it('sends held texts before what comes after them, and none after the end', async () => {
    const running = session.run('q', defaultSettings(null));
    await settle();
    const ask = engine.asks[0]!;
    posted.length = 0;
    ask.progress({ type: 'rolloutText', index: 0, text: 'a', tokens: 1 });
    ask.progress({ type: 'rolloutText', index: 0, text: 'ab', tokens: 2 });
    ask.progress({ type: 'askStage', stage: 'rollouts' });
    assert.deepEqual(
      posted.map((message) => message.type === 'updateRun' && message.progress.type),
      ['rolloutText', 'askStage'],
    );
    ask.progress({ type: 'rolloutText', index: 0, text: 'abc', tokens: 3 });
    ask.resolve(result);
    await running;
    await new Promise((resolve) => setTimeout(resolve, 80));
    assert.equal(posted.at(-1)?.type, 'finishRun');
  });

  it('goes on counting where a restored panel left off', async () => {
    const record = { id: 4, purpose: 'run' as const, startedAt: 0, result };
    session.restore({ question: 'q', settings: defaultSettings(null), runs: [record] });
    const running = session.run('q');
    await settle();
    engine.asks[0]?.resolve(result);
    await running;
    assert.deepEqual(
      session.runs.map(({ id }) => id),
      [4, 5],
    );
  });
});
