/** Times whole answers: our engine in several settings, and transformers.js on the same checkpoint. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaultSettings, vanillaSettings } from '../../src/avis/settings';
import { Engine } from '../../src/engine/engine';
import { paperPrompt, readPolicy } from '../../src/engine/policyFile';
import type { AskSettings, RunResult } from '../../src/shared/types';
import { interleave, timeMs } from './measure';
import { loadTransformersJs } from './transformersJs';

export interface BenchItem {
  imageFile: string;
  question: string;
}

/** Medians in milliseconds of one item; see `contestants` below for what each is. */
export interface AnswerTimes {
  item: BenchItem;
  promptTokens: number;
  /** Of the greedy answer, and of the seven sampled ones together. */
  answerTokens: number;
  sevenAnswersTokens: number;
  /** Runs of the decoder for the greedy answer, and for the seven sampled ones. */
  steps: number;
  sevenSteps: number;
  /** Computed in those for the seven: rollouts that have said the same so far share a row. */
  sevenRows: number;
  samePrompt: boolean;
  sameAnswer: boolean;
  ms: Record<
    | 'k1'
    | 'k7'
    | 'k1Decoding'
    | 'k7Decoding'
    | 'separate'
    | 'k7Again'
    | 'rhoMoved'
    | 'avis'
    | 'vanilla'
    | 'vanillaSeven'
    | 'theirs'
    | 'theirsSeven',
    number
  >;
}

/**
 * @param folder absolute path of the checkpoint
 * @throws {AssertionError} where something that must come from a cache was computed again.
 */
export async function timeAnswers(
  folder: string,
  items: BenchItem[],
  repetitions: number,
): Promise<AnswerTimes[]> {
  // Room for what was used last only: any other query evicts it.
  const engine = await Engine.load({
    folder,
    device: 'cpu',
    dtype: 'auto',
    cacheFolder: join(tmpdir(), 'avis-bench'),
    cacheBytes: 1,
  });
  const generate = await loadTransformersJs(folder);
  const suffix = ((await readPolicy(folder))?.prompt ?? paperPrompt).think;

  const avis: AskSettings = { ...defaultSettings(engine.info.policy), earlyStop: false };
  const greedy = vanillaSettings(avis);
  const sevenRollouts: AskSettings = { ...greedy, rollouts: { mode: 'fixed', k: 7 } };
  const { maxNewTokens } = greedy;
  const sampling = { temperature: avis.temperature, topP: avis.topP };

  const results: AnswerTimes[] = [];
  for (const [index, item] of items.entries()) {
    const { imageFile, question } = item;
    const image = { name: imageFile, bytes: readFileSync(imageFile) };
    const otherFile = items[(index + 1) % items.length]!.imageFile;
    const otherImage = { name: otherFile, bytes: readFileSync(otherFile) };
    const ask = (settings: AskSettings) => engine.ask({ image, question, settings });
    const evict = (evicted: 'prefill' | 'everything') =>
      engine.ask({
        image: evicted === 'prefill' ? image : otherImage,
        question: 'Is this another question?',
        settings: { ...greedy, maxNewTokens: 1 },
      });
    const askAfresh = async (settings: AskSettings, evicted: 'prefill' | 'everything') => {
      await evict(evicted);
      return timeMs(() => ask(settings));
    };
    const askTheirs = (sampled: boolean) =>
      generate(imageFile, question + suffix, { maxNewTokens, sampling: sampled ? sampling : null });

    const decodingMs = async (settings: AskSettings) => {
      await evict('prefill');
      return (await ask(settings)).timing.rollouts;
    };

    const ours = await ask(greedy);
    const before = { ...engine.runs };
    const oursSeven = await ask(sevenRollouts);
    const after = { ...engine.runs };
    const theirs = await askTheirs(false);
    const { text, visual } = ours.compute.promptTokens;
    const ms = await interleave(
      {
        // The image is encoded; the prompt is prefilled anew.
        k1: () => askAfresh(greedy, 'prefill'),
        k7: () => askAfresh(sevenRollouts, 'prefill'),
        k1Decoding: () => decodingMs(greedy),
        k7Decoding: () => decodingMs(sevenRollouts),
        separate: async () => {
          let total = 0;
          for (let i = 0; i < 7; i++) total += await askAfresh(greedy, 'prefill');
          return total;
        },
        // Re-runs after a lever moved.
        k7Again: async () => {
          await ask(greedy);
          const runs = { ...engine.runs };
          const elapsedMs = await timeMs(() => ask(sevenRollouts));
          assert.equal(engine.runs.prefill, runs.prefill, 'moving K prefilled again');
          assert.equal(engine.runs.vision, runs.vision, 'moving K encoded again');
          return elapsedMs;
        },
        rhoMoved: async () => {
          await ask(greedy);
          const runs = { ...engine.runs };
          const elapsedMs = await timeMs(() => ask(withRatio(greedy, 0.5)));
          assert.equal(engine.runs.vision, runs.vision, 'moving ρ encoded again');
          return elapsedMs;
        },
        // From the file's bytes to the answer.
        avis: () => askAfresh(avis, 'everything'),
        vanilla: () => askAfresh(greedy, 'everything'),
        vanillaSeven: () => askAfresh(sevenRollouts, 'everything'),
        theirs: () => timeMs(() => askTheirs(false)),
        theirsSeven: () =>
          timeMs(async () => {
            for (let call = 0; call < 7; call++) await askTheirs(true);
          }),
      },
      repetitions,
    );
    results.push({
      item,
      promptTokens: text + visual,
      answerTokens: firstRollout(ours).tokens,
      sevenAnswersTokens: oursSeven.rollouts.reduce((sum, { tokens }) => sum + tokens, 0),
      steps: firstRollout(ours).tokens - 1,
      sevenSteps: after.decode - before.decode,
      sevenRows: after.decodedRows - before.decodedRows,
      samePrompt: text + visual === theirs.promptTokens,
      sameAnswer: firstRollout(ours).text === theirs.text,
      ms,
    });
  }
  await engine.dispose();
  return results;
}

function withRatio(settings: AskSettings, ratio: number): AskSettings {
  return { ...settings, prune: { mode: 'fixed', ratio } };
}

function firstRollout({ rollouts }: RunResult) {
  return rollouts[0]!;
}
