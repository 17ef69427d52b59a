import { deepStrictEqual, notStrictEqual, ok, rejects, strictEqual } from 'node:assert/strict';
import { join } from 'node:path';
import { tallyVotes } from '../../../src/avis/vote';
import { Decoder, type Prefill } from '../../../src/engine/decoder';
import type { Model } from '../../../src/engine/model';
import { type RolloutJob, runRollouts } from '../../../src/engine/rollouts';
import { randomStream } from '../../../src/engine/sampler';
import { GraphSession } from '../../../src/engine/session';
import { rowGatherGraph } from '../../../src/engine/smallGraphs';
import type { TextCodec } from '../../../src/engine/textCodec';
import type { RolloutResult } from '../../../src/shared/types';
import { fusedCheckpoint, loadFixture, plainCheckpoint, temporaryFolder } from './models';
import { relativeError } from './reference';

const promptIds = [72, 101, 108, 108, 111, 32, 119, 111, 114, 108, 100];

describe('rollouts', () => {
  const cacheFolder = temporaryFolder();

  for (const [style, folder] of [
    ['fed back', plainCheckpoint],
    ['appended to', fusedCheckpoint],
  ] as const) {
    describe(`on a decoder whose cache is ${style}`, () => {
      let model: Model;
      let prefill: Prefill;
      before(async () => {
        model = await loadFixture(folder, cacheFolder);
        prefill = await prefillPrompt(model.decoder);
      });
      after(() => model.release());

      it('uses the cache that fits the graph', () => {
        strictEqual(model.decoder.appends, folder === fusedCheckpoint);
      });

      it('says the same in a batch as one by one, ragged ends and all', async () => {
        // Token 2 is frequent in this model: rows end at different steps and leave the batch.
        const options = { endTokenIds: [2, 206], maxNewTokens: 40 };
        const batch = await sampleTokens(model, prefill, 7, options);
        ok(new Set(batch.map((tokens) => tokens.length)).size > 2, 'the rows end together');
        for (let index = 0; index < 7; index++) {
          const alone = await sampleTokens(model, prefill, index + 1, options, index);
          deepStrictEqual(alone, [batch[index]]);
        }
      });

      it('gives the same from a prefill of its own as from the shared one', async () => {
        const shared = await sampleTokens(model, prefill, 3, { maxNewTokens: 20 });
        const own = await prefillPrompt(model.decoder);
        deepStrictEqual(await sampleTokens(model, own, 3, { maxNewTokens: 20 }), shared);
      });

      it('gives the same logits when the prompt is prefilled in pieces', async () => {
        const { logits } = await prefillPrompt(model.decoder, 3);
        ok(relativeError(logits, prefill.logits) < 1e-5);
      });

      it('grows its cache beyond the first buffers', async () => {
        const [short] = await sampleTokens(model, prefill, 1, { maxNewTokens: 100 });
        const [long] = await sampleTokens(model, prefill, 1, { maxNewTokens: 300 });
        strictEqual(long!.length, 300);
        deepStrictEqual(long!.slice(0, 100), short);
      });

      it('draws other tokens for another seed, and the same for the same', async () => {
        const first = await sampleTokens(model, prefill, 2, { seed: 1 });
        deepStrictEqual(await sampleTokens(model, prefill, 2, { seed: 1 }), first);
        const other = await sampleTokens(model, prefill, 2, { seed: 2 });
        notStrictEqual(other.join(), first.join());
        notStrictEqual(first[0]!.join(), first[1]!.join());
      });

      it('stops at the next step after an abort', async () => {
        const controller = new AbortController();
        let steps = 0;
        const job = jobOf(model, prefill, { maxNewTokens: 200 });
        job.onText = () => {
          steps++;
          controller.abort();
        };
        await rejects(runRollouts(job, [], 3, controller.signal), { code: 'canceled' });
        strictEqual(steps <= 3, true);
        strictEqual((await sampleTokens(model, prefill, 2, {})).length, 2);
      });
    });
  }

  it('says the same when a graph picks the rows, as on a device', async () => {
    const model = await loadFixture(plainCheckpoint, cacheFolder);
    const graph = await openGraph(plainCheckpoint, 'decoder_model_merged');
    const embed = await openGraph(plainCheckpoint, 'embed_tokens');
    const gather = await GraphSession.create(rowGatherGraph(model.decoder.states), 'rows', {});
    const decoder = new Decoder(graph, embed, model.info.cost.hiddenSize, gather);
    const options = { endTokenIds: [2, 206], maxNewTokens: 40 };
    const expected = await sampleTokens(model, await prefillPrompt(model.decoder), 7, options);
    const prefill = await prefillPrompt(decoder);
    for (let time = 0; time < 2; time++) {
      deepStrictEqual(await sampleTokens({ ...model, decoder }, prefill, 7, options), expected);
    }
    for (const session of [model, graph, embed, gather]) await session.release();
  });

  it('appends as it does with whole caches, after rows have left', async () => {
    const model = await loadFixture(fusedCheckpoint, cacheFolder);
    const graph = await openGraph(fusedCheckpoint, 'decoder_model_merged');
    const embed = await openGraph(fusedCheckpoint, 'embed_tokens');
    const appended = await decodeRagged(model.decoder);
    const whole = await decodeRagged(new Decoder(graph, embed, model.info.cost.hiddenSize, null));
    whole.forEach((logits, step) => ok(relativeError(appended[step]!, logits) < 1e-5));
    for (const session of [model, graph, embed]) await session.release();
  });

  it('gives the majority of all rollouts when it stops early, on random votes', async () => {
    const random = randomStream(7, 0);
    let saved = 0;
    for (let round = 0; round < 300; round++) {
      const script = randomScript(random);
      const all = await runScript(script, round, false);
      const early = await runScript(script, round, true);
      strictEqual(answerOf(early), answerOf(all), JSON.stringify(script));
      if (early.some(({ stopped }) => stopped === 'earlyStop')) saved++;
      for (const { stopped, answer } of early)
        if (stopped === 'earlyStop') strictEqual(answer, null);
    }
    ok(saved > 50, `only ${saved} of 300 stopped early`);
  });
});

function openGraph(folder: string, graph: string): Promise<GraphSession> {
  return GraphSession.create(join(folder, 'onnx', `${graph}.onnx`), graph, {});
}

function answerOf(rollouts: RolloutResult[]): string | null {
  return tallyVotes(rollouts.map(({ answer }) => answer)).answer;
}

async function prefillPrompt(decoder: Decoder, chunkTokens?: number): Promise<Prefill> {
  const embeddings = await decoder.embedTokens(promptIds);
  const axis = Int32Array.from(promptIds.keys());
  const axes = [axis, axis, axis];
  return decoder.prefill(embeddings, axes, promptIds.length, undefined, chunkTokens);
}

/** The logits of rows that part and leave, far enough for a cache with room to need more of it. */
async function decodeRagged(decoder: Decoder): Promise<Float32Array[]> {
  const batch = await decoder.startRows(await prefillPrompt(decoder), 4);
  await batch.step([5, 6, 7, 8]);
  const logits = [await batch.step([9, 10, 11, 12])];
  await batch.keep([1, 3, 3]);
  await batch.step([13, 14, 15]);
  for (let step = 0; step < 40; step++) logits.push(await batch.step([15 + step, 16, 17]));
  return logits;
}

type Options = Partial<RolloutJob['settings'] & { endTokenIds: number[] }>;

/** What the rollouts' text streams were given, in place of text. */
const tokensOf: TextCodec = {
  decode: (ids: readonly number[]) => ids.join(' '),
} as unknown as TextCodec;

function jobOf(model: Model, prefill: Prefill, options: Options): RolloutJob {
  const { endTokenIds = [], ...settings } = options;
  return {
    decoder: model.decoder,
    codec: tokensOf,
    prefill,
    promptIds,
    repetitionPenalty: 1,
    endTokenIds,
    settings: { temperature: 1, topP: 0.95, seed: 3, maxNewTokens: 10, ...settings },
    greedy: false,
    earlyStop: false,
    onText: () => {},
    onDone: () => {},
  };
}

/** The tokens of rollouts `from` … `count − 1`. */
async function sampleTokens(
  model: Model,
  prefill: Prefill,
  count: number,
  options: Options,
  from = 0,
): Promise<number[][]> {
  const done = Array.from({ length: from }, () => ({}) as RolloutResult);
  const rollouts = await runRollouts(jobOf(model, prefill, options), done, count);
  return rollouts.slice(from).map(({ text }) => text.split(' ').map(Number));
}

/** Texts that a rollout may follow: its answer (null: none) and after how many tokens it ends. */
type Script = { answer: string | null; tokens: number }[];

function randomScript(random: () => number): Script {
  const count = 1 + Math.floor(random() * 8);
  return Array.from({ length: count }, () => ({
    answer: ['A', 'B', 'C', null][Math.floor(random() * 4)]!,
    tokens: 1 + Math.floor(random() * 6),
  }));
}

/**
 * As many rollouts as there are texts. Each draws which one it follows: after a first token t the "model"
 * says t, t, … and then the end token. The answer is in a text from the second token on.
 */
function runScript(script: Script, seed: number, earlyStop: boolean): Promise<RolloutResult[]> {
  const end = script.length;
  const certain = (tokens: number[]) => {
    const logits = new Float32Array(tokens.length * (end + 1)).fill(-1e4);
    tokens.forEach((token, row) => (logits[row * (end + 1) + token] = 1e4));
    return logits;
  };
  const anyText = new Float32Array(end + 1);
  anyText[end] = -1e4;
  let followed: (number | undefined)[] = [undefined];
  let said = 0;
  const batch = {
    keep: async (kept: number[]) => {
      followed = kept.map((row) => followed[row]);
    },
    step: async (tokens: number[]) => {
      said++;
      followed = tokens.map((token, row) => followed[row] ?? token);
      strictEqual(new Set(followed).size, followed.length, 'the same is computed twice');
      return certain(followed.map((text) => (said > script[text!]!.tokens ? end : text!)));
    },
    dispose: () => {},
  };
  const codec = {
    decode: ([text, second]: readonly number[]) => {
      const answer = text === undefined ? null : script[text]!.answer;
      return answer === null || second === undefined ? '' : `<answer>${answer}</answer>`;
    },
  };
  const job: RolloutJob = {
    decoder: { startRows: async () => batch } as unknown as Decoder,
    codec: codec as unknown as TextCodec,
    prefill: { logits: anyText, nextPosition: 0, state: { tensors: [], length: 0 } },
    promptIds: [],
    repetitionPenalty: 1,
    endTokenIds: [end],
    settings: { temperature: 1, topP: 1, seed, maxNewTokens: 100 },
    greedy: false,
    earlyStop,
    onText: () => {},
    onDone: () => {},
  };
  return runRollouts(job, [], script.length);
}
