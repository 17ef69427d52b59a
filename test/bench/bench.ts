/**
 * Speed, as ratios measured side by side in one run:
 *
 *   npm run bench -- [--repetitions 9] [--items 3] [--model FOLDER]
 *
 * Prints a table and writes bench-results/bench.json. Activation and the extension host's event loop
 * are measured by the suite inside VS Code.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import * as esbuild from 'esbuild';
import { computeCost } from '../../src/avis/compute';
import { keepVisualTokens, keyDiversityScores } from '../../src/avis/kdv';
import { median } from '../eval/statistics';
import { normals, randomSource } from '../unit/avis/random';
import { type AnswerTimes, type BenchItem, timeAnswers } from './answers';
import { growthExponent, interleave, processorMsOf, timeMs } from './measure';

/** One line of the table. */
interface Finding {
  what: string;
  measured: string;
  target: string;
}

const root = fileURLToPath(new URL('../..', import.meta.url));
const itemsFolder = join(root, 'test/fixtures/eval');
const { values } = parseArgs({
  options: {
    repetitions: { type: 'string', default: '9' },
    items: { type: 'string', default: '3' },
    model: { type: 'string', default: join(root, 'media/model') },
  },
});
const repetitions = Number(values.repetitions);
const folder = resolve(values.model);

/** Counting and comparing take the longest answers, so that decoding is a real share. */
function chooseItems(): BenchItem[] {
  const all = JSON.parse(readFileSync(join(itemsFolder, 'items.json'), 'utf8')) as {
    image: string;
    question: string;
    task: string;
  }[];
  return all
    .filter(({ task }) => task === 'count' || task === 'compare')
    .slice(0, Math.max(Number(values.items), 2))
    .map(({ image, question }) => ({ imageFile: join(itemsFolder, image), question }));
}

/** A process of its own from nothing to the answer, as the first click has it. */
async function timeColdAnswer({ imageFile, question }: BenchItem): Promise<number> {
  const bundle = join(root, 'out/ask.mjs');
  const askWith = (script: string) => {
    const { status, stderr } = spawnSync(
      process.execPath,
      [script, imageFile, question, '--model', folder, '--device', 'cpu', '--json'],
      { encoding: 'utf8' },
    );
    if (status !== 0) throw new Error(`The command line failed: ${stderr}`);
  };
  askWith(join(root, 'test/scripts/askFromSource.mjs')); // builds where that is due
  const { cold } = await interleave(
    { cold: () => timeMs(() => askWith(bundle)) },
    Math.min(repetitions, 5),
  );
  return cold;
}

function describeAnswers(times: AnswerTimes[]): Finding[] {
  const ratioOf = (over: keyof AnswerTimes['ms'], under: keyof AnswerTimes['ms']) =>
    median(times.map(({ ms }) => ms[over] / ms[under]));
  const msOf = (name: keyof AnswerTimes['ms']) => median(times.map(({ ms }) => ms[name]));
  return [
    {
      what: 'K = 7 against K = 1, nothing cached',
      measured: `${ratio(ratioOf('vanillaSeven', 'vanilla'))} (${ms(msOf('vanillaSeven'))} : ${ms(msOf('vanilla'))})`,
      target: 'at most 2×',
    },
    {
      what: 'K = 7 against K = 1, image encoded, prompt not prefilled',
      measured: `${ratio(ratioOf('k7', 'k1'))} (${ms(msOf('k7'))} : ${ms(msOf('k1'))})`,
      target: 'at most 2×',
    },
    {
      what: 'K = 7 against K = 1, decoding alone',
      measured: `${ratio(ratioOf('k7Decoding', 'k1Decoding'))} (${ms(msOf('k7Decoding'))} : ${ms(msOf('k1Decoding'))})`,
      target: '',
    },
    {
      what: 'K = 7 against K = 1, a step of decoding',
      measured: `${ratio(median(times.map(stepRatio)))} (${median(times.map(meanRows)).toFixed(1)} rows computed for 7 rollouts)`,
      target: '',
    },
    {
      what: '7 separate generations against one batch on a shared prefill, per token',
      measured: `${ratio(median(times.map(batchGain)))} (${ms(msOf('separate'))} : ${ms(msOf('k7'))})`,
      target: 'at least 3×',
    },
    {
      what: 'moving K on a finished query (no prefill, no vision)',
      measured: `${ratio(ratioOf('k7Again', 'vanillaSeven'))} of the time from scratch (${ms(msOf('k7Again'))})`,
      target: 'no prefill',
    },
    {
      what: 'moving ρ to 0.5 on a finished query (no vision)',
      measured: `${ratio(ratioOf('rhoMoved', 'vanilla'))} of the time from scratch (${ms(msOf('rhoMoved'))})`,
      target: 'no vision encode',
    },
    {
      what: '@huggingface/transformers against this engine, vanilla, K = 1',
      measured: `${ratio(ratioOf('theirs', 'vanilla'))} (${ms(msOf('theirs'))} : ${ms(msOf('vanilla'))})`,
      target: '',
    },
    {
      what: '@huggingface/transformers, 7 calls, against this engine, K = 7',
      measured: `${ratio(ratioOf('theirsSeven', 'vanillaSeven'))} (${ms(msOf('theirsSeven'))} : ${ms(msOf('vanillaSeven'))})`,
      target: '',
    },
    {
      what: '@huggingface/transformers, vanilla, K = 1, against AVIS',
      measured: `${ratio(ratioOf('theirs', 'avis'))} (${ms(msOf('theirs'))} : ${ms(msOf('avis'))})`,
      target: '',
    },
    {
      what: 'same prompt, same greedy answer as @huggingface/transformers',
      measured: `${times.filter(({ samePrompt }) => samePrompt).length}, ${times.filter(({ sameAnswer }) => sameAnswer).length} of ${times.length}`,
      target: `${times.length} of ${times.length}`,
    },
  ];
}

/** Greedy and sampled answers differ in length, so what a token takes is compared. */
function batchGain({ ms, answerTokens, sevenAnswersTokens }: AnswerTimes): number {
  return ms.separate / (7 * answerTokens) / (ms.k7 / sevenAnswersTokens);
}

/** The longest of seven answers takes more steps than the greedy one. */
function stepRatio({ ms, steps, sevenSteps }: AnswerTimes): number {
  return ms.k7Decoding / sevenSteps / (ms.k1Decoding / steps);
}

function meanRows({ sevenRows, sevenSteps }: AnswerTimes): number {
  return sevenRows / sevenSteps;
}

/** 16 heads of 80, as Qwen2.5-VL-7B's vision encoder has. */
function timeKdv(): { tokens: number; ms: number }[] {
  const heads = 16;
  const headDim = 80;
  const largest = 16_384;
  const keys = normals(randomSource(1), heads * largest * headDim);
  const points: { tokens: number; ms: number }[] = [];
  for (let tokens = 64; tokens <= largest; tokens *= 4) {
    const own = keys.subarray(0, heads * tokens * headDim);
    points.push({
      tokens,
      ms: processorMsOf(() => {
        const scores = keyDiversityScores(own, { heads, tokens, headDim });
        keepVisualTokens(scores, { mode: 'fixed', ratio: 0.75 });
      }),
    });
  }
  return points;
}

/** What the panel computes for each position of a slider, on a large picture of a 7B model. */
function timeSlider(): number {
  const scores = normals(randomSource(2), 4096).map((score) => Math.tanh(score));
  const cost = {
    hiddenSize: 3584,
    layers: 28,
    heads: 28,
    kvHeads: 4,
    headDim: 128,
    intermediateSize: 18_944,
    vocabularySize: 152_064,
    kvElementBytes: 2,
  };
  let tauDegrees = 30;
  return processorMsOf(() => {
    tauDegrees = tauDegrees === 60 ? 30 : tauDegrees + 1;
    const prune = { mode: 'adaptive', tauDegrees } as const;
    computeCost({
      cost,
      visionFlops: 1e12,
      textTokens: 60,
      visualTokens: scores.length,
      keptTokens: keepVisualTokens(scores, prune).length,
      rolloutTokens: [100, 100, 100, 100, 100, 100, 100],
      vanillaAnswerTokens: { tokens: 100, source: 'estimated' },
    });
  });
}

/** Bytes of the extension host's bundle as the package has it. */
async function hostBundleBytes(): Promise<number> {
  const built = await esbuild.build({
    absWorkingDir: root,
    entryPoints: ['src/extension.ts'],
    bundle: true,
    minify: true,
    write: false,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    external: ['vscode'],
    logLevel: 'error',
  });
  return built.outputFiles[0]!.contents.byteLength;
}

function ratio(value: number): string {
  return `${value.toFixed(2)}×`;
}

function ms(value: number): string {
  return value < 1 ? `${value.toFixed(3)} ms` : `${value.toFixed(value < 10 ? 1 : 0)} ms`;
}

const items = chooseItems();
const coldMs = await timeColdAnswer(items[0]!);
const answers = await timeAnswers(folder, items, repetitions);
const kdv = timeKdv();
const exponent = growthExponent(kdv.map(({ tokens, ms }) => ({ x: tokens, y: ms })));
const sliderMs = timeSlider();
const bundleBytes = await hostBundleBytes();

const findings: Finding[] = [
  { what: 'first answer, cold process', measured: ms(coldMs), target: 'at most 3000 ms' },
  ...describeAnswers(answers),
  {
    what: 'KDV, growth of processor time from 64 to 16,384 tokens',
    measured: `tokens^${exponent.toFixed(2)} (${kdv.map(({ tokens, ms: time }) => `${tokens}: ${ms(time)}`).join(', ')})`,
    target: 'tokens^1',
  },
  {
    what: 'slider, 4,096 tokens, processor time',
    measured: ms(sliderMs),
    target: 'one frame, 16.7 ms',
  },
  {
    what: "the extension host's bundle",
    measured: `${(bundleBytes / 1000).toFixed(0)} KB`,
    target: 'under 300 KB',
  },
];
const [load = 0] = loadavg();
if (load > cpus().length + 1) {
  findings.push({
    what: 'busy machine',
    measured: `load ${load.toFixed(1)} on ${cpus().length} cores: these times include what else ran`,
    target: 'an idle machine',
  });
}
for (const { what, measured, target } of findings) {
  console.log(`${what}\n    ${measured}${target && `   (target: ${target})`}`);
}

const outFolder = join(root, 'bench-results');
mkdirSync(outFolder, { recursive: true });
writeFileSync(
  join(outFolder, 'bench.json'),
  JSON.stringify(
    {
      date: new Date().toISOString(),
      machine: { cpu: cpus()[0]?.model, cores: cpus().length, load, node: process.version },
      model: relative(root, folder),
      repetitions,
      findings,
      coldMs,
      answers: answers.map(({ item, ...rest }) => ({
        image: relative(root, item.imageFile),
        question: item.question,
        ...rest,
      })),
      kdv,
      kdvGrowthExponent: exponent,
      sliderMs,
      bundleBytes,
    },
    null,
    2,
  ),
);
