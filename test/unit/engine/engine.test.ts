import { deepStrictEqual, rejects, strictEqual } from 'node:assert/strict';
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { vanillaSettings } from '../../../src/avis/settings';
import type { Query } from '../../../src/engine/answer';
import { Engine } from '../../../src/engine/engine';
import type { AskProgress } from '../../../src/shared/engineProtocol';
import type { AskSettings } from '../../../src/shared/types';
import {
  embeddedModel,
  fusedCheckpoint,
  loadEngine,
  temporaryFolder,
  testSettings,
} from './models';
import { fixtureImage } from './reference';

const question = 'What is shown in the picture?';

function query(changes: Partial<AskSettings> = {}, image = 'wide', text = question): Query {
  return { image: fixtureImage(image), question: text, settings: testSettings(changes) };
}

describe('engine', () => {
  const cacheFolder = temporaryFolder();
  let engine: Engine;
  beforeEach(async () => {
    engine = await loadEngine(fusedCheckpoint, cacheFolder);
  });
  afterEach(() => engine.dispose());

  describe('computes nothing twice', () => {
    it('decodes only, for another K, temperature or seed', async () => {
      await engine.ask(query({ rollouts: { mode: 'fixed', k: 1 } }));
      const { vision, prefill, decode } = engine.runs;
      deepStrictEqual([vision, prefill, decode], [1, 1, 11]);
      const changes: Partial<AskSettings>[] = [
        { rollouts: { mode: 'fixed', k: 4 } },
        { temperature: 0.5 },
        { seed: 9 },
      ];
      for (const change of changes) {
        const { timing } = await engine.ask(query(change));
        deepStrictEqual(timing.cached, ['vision', 'prefill']);
        strictEqual(timing.vision + timing.prefill + timing.decodeImage, 0);
      }
      deepStrictEqual([engine.runs.vision, engine.runs.prefill], [1, 1]);
    });

    it('decodes once what several rollouts say', async () => {
      const { rollouts } = await engine.ask(query({ temperature: 0.01 }));
      strictEqual(new Set(rollouts.map(({ text }) => text)).size, 1);
      strictEqual(engine.runs.decodedRows, engine.runs.decode);
    });

    it('prefills but never encodes, for another ρ or τ', async () => {
      await engine.ask(query());
      for (const prune of [
        { mode: 'fixed', ratio: 0.5 },
        { mode: 'adaptive', tauDegrees: 45 },
      ] as const) {
        deepStrictEqual((await engine.ask(query({ prune }))).timing.cached, ['vision']);
      }
      deepStrictEqual([engine.runs.vision, engine.runs.prefill], [1, 3]);
    });

    it('prefills nothing for a ρ that keeps the same tokens', async () => {
      await engine.ask(query({ prune: { mode: 'fixed', ratio: 0.5 } }));
      const again = await engine.ask(query({ prune: { mode: 'fixed', ratio: 0.501 } }));
      deepStrictEqual(again.timing.cached, ['vision', 'prefill']);
    });

    it('takes the features for another question about the same image', async () => {
      await engine.ask(query());
      await engine.ask(query({}, 'wide', 'Is it wide?'));
      await engine.ask(query({}, 'odd'));
      deepStrictEqual([engine.runs.vision, engine.runs.prefill], [2, 3]);
    });

    it('gives the same answers from the caches as without them', async () => {
      const fresh = await engine.ask(query());
      const cached = await engine.ask(query());
      const texts = (result: typeof fresh) => result.rollouts.map(({ text }) => text);
      deepStrictEqual(texts(cached), texts(fresh));
      deepStrictEqual(cached.visual, fresh.visual);
    });

    it('keeps the features of a run that was canceled while they were computed', async () => {
      const controller = new AbortController();
      const onProgress = (progress: AskProgress) => {
        if (progress.type === 'askStage' && progress.stage === 'vision') controller.abort();
      };
      await rejects(engine.ask(query(), onProgress, controller.signal), { code: 'canceled' });
      deepStrictEqual((await engine.ask(query())).timing.cached, ['vision']);
      deepStrictEqual([engine.runs.vision, engine.runs.prefill], [1, 1]);
    });

    it('encodes again what a small cache had to drop', async () => {
      const small = await Engine.load({
        folder: fusedCheckpoint,
        device: 'cpu',
        dtype: 'auto',
        cacheFolder,
        cacheBytes: 12_000,
      });
      const images = ['wide', 'odd', 'large', 'wide'];
      for (const image of images) await small.ask(query({}, image));
      deepStrictEqual([small.runs.vision, small.runs.prefill], [4, 4]);
      await small.dispose();
    });
  });

  it('reports its stages, the scores, and each rollout', async () => {
    const seen: AskProgress[] = [];
    const result = await engine.ask(query(), (progress) => seen.push(progress));
    const stages = seen.flatMap((each) => (each.type === 'askStage' ? [each.stage] : []));
    deepStrictEqual(stages, ['decodeImage', 'vision', 'prefill', 'rollouts']);
    const visual = seen.find((each) => each.type === 'visual');
    deepStrictEqual(visual?.visual, result.visual);
    const done = seen.flatMap((each) => (each.type === 'rolloutDone' ? [each.rollout] : []));
    deepStrictEqual(done, result.rollouts);
    strictEqual(result.visual.total, 21);
    deepStrictEqual(result.image, { width: 196, height: 84 });
  });

  it('knows what vanilla costs once it has run', async () => {
    const estimated = await engine.ask(query());
    strictEqual(estimated.compute.vanillaSource, 'estimated');
    const vanilla = await engine.ask({ ...query(), settings: vanillaSettings(testSettings()) });
    strictEqual(vanilla.compute.saved, 0);
    const pruned = await engine.ask(query({ prune: { mode: 'fixed', ratio: 0.5 } }));
    strictEqual(pruned.compute.vanillaSource, 'measured');
    strictEqual(pruned.compute.vanilla.decode, vanilla.compute.run.decode);
  });

  it('takes vanilla for measured only as far as it was run', async () => {
    const vanilla = vanillaSettings(testSettings({ maxNewTokens: 4 }));
    const cut = await engine.ask({ ...query(), settings: vanilla });
    strictEqual(cut.rollouts[0]!.stopped, 'maxNewTokens');
    const longer = await engine.ask(query({ maxNewTokens: 12 }));
    strictEqual(longer.compute.vanillaSource, 'estimated');
    const shorter = await engine.ask(query({ maxNewTokens: 2 }));
    strictEqual(shorter.compute.vanillaSource, 'measured');
    strictEqual(
      cut.compute.run.decode > shorter.compute.vanilla.decode,
      true,
      'two tokens of the four',
    );
  });

  it('takes no sampled rollout for vanilla, even a single one', async () => {
    const folder = join(cacheFolder, 'without-predictor');
    cpSync(embeddedModel, folder, { recursive: true });
    rmSync(join(folder, 'avis/difficulty_predictor.onnx'));
    const own = await loadEngine(folder, cacheFolder);
    const settings = { rollouts: { mode: 'adaptive', cap: 7 }, confidence: 0.5 } as const;
    const sure = { thinking: false, temperature: 0.1, maxNewTokens: 60 };
    const single = await own.ask(query({ ...settings, ...sure }));
    strictEqual(single.rollouts.length, 1);
    strictEqual(single.compute.vanillaSource, 'estimated');
    await own.dispose();
  });

  it('keeps one token at ρ = 0.99 and runs K = 16', async () => {
    const prune = { mode: 'fixed', ratio: 0.99 } as const;
    const result = await engine.ask(query({ prune, rollouts: { mode: 'fixed', k: 16 } }));
    strictEqual(result.visual.kept, 1);
    strictEqual(result.rollouts.length, 16);
  });

  it('runs rollouts until the Beta rule holds where there is no predictor', async () => {
    // Nothing this model says is an answer, so the rule never holds and the cap is reached.
    const waves: number[] = [];
    const result = await engine.ask(query({ rollouts: { mode: 'adaptive', cap: 6 } }), (each) => {
      if (each.type === 'difficulty') waves.push(each.difficulty.k);
    });
    deepStrictEqual(waves, [4, 6]);
    strictEqual(result.difficulty.source, 'betaStopping');
    strictEqual(result.difficulty.k, 6);
    strictEqual(result.rollouts.length, 6);
  });

  it('stays usable after an abort in mid-decode', async () => {
    const controller = new AbortController();
    const long = query({ maxNewTokens: 2000 });
    const onText = (progress: AskProgress) => {
      if (progress.type === 'rolloutText') controller.abort();
    };
    await rejects(engine.ask(long, onText, controller.signal), { code: 'canceled' });
    const { rollouts } = await engine.ask(query());
    strictEqual(rollouts.length, 3);
  });

  it('answers two asks in their order, and drops a canceled one from the queue', async () => {
    const order: string[] = [];
    const controller = new AbortController();
    const first = engine.ask(query(), (each) => note(order, 'first', each));
    const canceled = engine.ask(query(), () => {}, controller.signal);
    const second = engine.ask(query({ seed: 5 }), (each) => note(order, 'second', each));
    controller.abort();
    await rejects(canceled, { code: 'canceled' });
    await Promise.all([first, second]);
    strictEqual(order[0], 'second queued');
    strictEqual(order.indexOf('second done') > order.lastIndexOf('first done'), true);
  });

  it('ends what runs and waits when it is disposed of', async () => {
    const own = await loadEngine(fusedCheckpoint, cacheFolder);
    const running = own.ask(query({ maxNewTokens: 2000 }));
    const waiting = own.ask(query());
    const ends = Promise.allSettled([running, waiting]);
    await own.dispose();
    for (const end of await ends) {
      strictEqual(end.status === 'rejected' && end.reason.code, 'engineStopped');
    }
  });

  describe('refuses in one sentence', () => {
    const cases: [string, string, RegExp][] = [
      ['an empty question', '  \n', /^The question is empty\.$/],
      [
        'a question of 100,000 letters',
        'why '.repeat(25_000),
        /^The question is too long: .* takes 4096\./,
      ],
      [
        'a control token',
        'Hi <|im_end|> there',
        /^The question contains <\|im_end\|>, a control token/,
      ],
      ['an image token', '<|image_pad|>', /<\|image_pad\|>/],
    ];
    for (const [name, text, message] of cases) {
      it(name, async () => {
        await rejects(engine.ask(query({}, 'wide', text)), { code: 'badInput', message });
        strictEqual((await engine.ask(query())).rollouts.length, 3);
      });
    }
  });

  for (const text of ['ما هذا؟', '🦊🎉 what is it 👩‍👩‍👧?', '这是什么？']) {
    it(`takes the question ${text}`, async () => {
      strictEqual((await engine.ask(query({}, 'dot', text))).question, text);
    });
  }

  it('names the tensor in which a model gives NaN', async () => {
    for (const [graph, tensor] of [
      ['vision_encoder', 'image_features'],
      ['decoder_model_merged', 'logits'],
    ] as const) {
      const folder = join(cacheFolder, `nan-${graph}`);
      cpSync(fusedCheckpoint, folder, { recursive: true });
      spoilWeights(join(folder, 'onnx', `${graph}.onnx`));
      const ask = async () => {
        const broken = await loadEngine(folder, cacheFolder);
        await broken.ask(query());
      };
      await rejects(ask, { code: 'badModel', message: new RegExp(`${graph}.* NaN in ${tensor}`) });
    }
  });
});

function note(order: string[], name: string, progress: AskProgress): void {
  if (progress.type === 'askStage' && progress.stage === 'queued') order.push(`${name} queued`);
  if (progress.type === 'rolloutDone') order.push(`${name} done`);
}

/** Puts NaN into a weight: in these files, what lies in the middle is one. */
function spoilWeights(path: string): void {
  const bytes = readFileSync(path);
  const middle = Math.floor(bytes.length / 2);
  writeFileSync(path, bytes.fill(0xff, middle, middle + 32));
}
