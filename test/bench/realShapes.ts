/**
 * Load time, peak memory and the cost of each stage at real sizes, on the CPU, beside
 * @huggingface/transformers on the same folder. Make the folder with makeRealShapes.py first.
 *   node --import tsx test/bench/realShapes.ts FOLDER [--image FILE] [--tokens N]
 * Each contestant has a process of its own, so that its peak memory is its own.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { defaultSettings } from '../../src/avis/settings';
import { Engine } from '../../src/engine/engine';
import { readCheckpoint } from '../../src/engine/checkpoint';
import { createFamily } from '../../src/engine/families/registry';
import { plannedRunBytes } from '../../src/engine/memory';
import { predictMemory } from '../../src/shared/memory';
import type { AskSettings } from '../../src/shared/types';
import { median } from '../eval/statistics';
import { timeMs } from './measure';
import { loadTransformersJs } from './transformersJs';

const rolloutCounts = [1, 3, 7];
const question = 'What is in the picture?';

interface Job {
  folder: string;
  image: string;
  tokens: number;
}

/** Milliseconds and bytes; `theirs` has no stages, since transformers.js doesn't tell them apart. */
interface Figures {
  loadMs: number;
  peakBytes: number;
  predictedBytes?: number;
  promptTokens: number;
  visionMs?: number;
  prefillMs?: number;
  /** One decoding step of K rows, by K. */
  stepMs: Record<string, number>;
  /** The same step with nothing in the KV cache: what the weights alone cost. */
  weightsStepMs?: Record<string, number>;
  totalMs?: number;
}

const contestants: Record<string, (job: Job) => Promise<Figures>> = {
  async ours({ folder, image, tokens }) {
    let engine!: Engine;
    const loadMs = await timeMs(async () => {
      engine = await Engine.load({
        folder,
        device: 'cpu',
        dtype: 'auto',
        cacheFolder: join(tmpdir(), 'avis-bench'),
      });
    });
    const { fileHashes } = engine.info;
    const family = createFamily(await readCheckpoint(folder));
    const graphBytes = Object.keys(fileHashes)
      .filter((file) => file.startsWith('onnx/'))
      .reduce((sum, file) => sum + statSync(join(folder, file)).size, 0);
    const settings: AskSettings = {
      ...defaultSettings(null),
      prune: { mode: 'fixed', ratio: 0 },
      maxNewTokens: tokens,
      earlyStop: false,
    };
    const query = { image: { name: image, bytes: readFileSync(image) }, question };
    const stepMs: Figures['stepMs'] = {};
    let first: Awaited<ReturnType<Engine['ask']>> | undefined;
    for (const k of rolloutCounts) {
      const result = await engine.ask({
        ...query,
        settings: { ...settings, rollouts: { mode: 'fixed', k } },
      });
      first ??= result;
      const steps = Math.max(...result.rollouts.map((rollout) => rollout.tokens)) - 1;
      stepMs[k] = result.timing.rollouts / steps;
    }
    await engine.dispose();
    const { text, visual } = first!.compute.promptTokens;
    return {
      loadMs,
      peakBytes: peakBytes(),
      predictedBytes: predictMemory(graphBytes, plannedRunBytes(family)),
      promptTokens: text + visual,
      visionMs: first!.timing.vision,
      prefillMs: first!.timing.prefill,
      stepMs,
      totalMs: first!.timing.total - first!.timing.load,
    };
  },

  async weights({ folder }) {
    const file = join(folder, 'onnx', 'decoder_model_merged_q4.onnx');
    let session!: InferenceSession;
    const loadMs = await timeMs(async () => {
      session = await InferenceSession.create(file);
    });
    const weightsStepMs: Figures['stepMs'] = {};
    for (const k of rolloutCounts) {
      const times: number[] = [];
      for (let round = 0; round < 6; round++) {
        times.push(await timeMs(() => session.run(emptyStep(session, k))));
      }
      weightsStepMs[k] = median(times.slice(1));
    }
    return { loadMs, peakBytes: peakBytes(), promptTokens: 0, stepMs: {}, weightsStepMs };
  },

  async theirs({ folder, image, tokens }) {
    let generate!: Awaited<ReturnType<typeof loadTransformersJs>>;
    const dtype = {
      vision_encoder: 'int8',
      embed_tokens: 'int8',
      decoder_model_merged: 'q4',
    } as const;
    const loadMs = await timeMs(async () => {
      generate = await loadTransformersJs(folder, dtype);
    });
    const ask = (maxNewTokens: number) =>
      generate(image, question, { maxNewTokens, sampling: null });
    await ask(1);
    const started = performance.now();
    const { promptTokens, stepMs } = await ask(tokens);
    const totalMs = performance.now() - started;
    return {
      loadMs,
      peakBytes: peakBytes(),
      promptTokens,
      stepMs: { 1: median(stepMs) },
      totalMs,
    };
  },
};

/** Inputs of one decoding step for `rows` rows with an empty cache, by the graph's own signature. */
function emptyStep(session: InferenceSession, rows: number): Record<string, Tensor> {
  const feeds: Record<string, Tensor> = {};
  for (const spec of session.inputMetadata) {
    if (!spec.isTensor) continue;
    const { name, shape } = spec;
    const last = Number(shape.at(-1));
    if (name === 'inputs_embeds') {
      const values = Float32Array.from({ length: rows * last }, (_, i) => Math.sin(i) * 0.02);
      feeds[name] = new Tensor('float32', values, [rows, 1, last]);
    } else if (name === 'num_logits_to_keep') {
      feeds[name] = new Tensor('int64', BigInt64Array.of(1n), []);
    } else if (name.startsWith('past_')) {
      feeds[name] = new Tensor('float32', new Float32Array(0), [rows, Number(shape[1]), 0, last]);
    } else {
      const dims = shape.length === 3 ? [3, rows, 1] : [rows, 1];
      const value = name === 'attention_mask' ? 1n : 0n;
      const size = dims.reduce((product, each) => product * each, 1);
      feeds[name] = new Tensor('int64', new BigInt64Array(size).fill(value), dims);
    }
  }
  return feeds;
}

function peakBytes(): number {
  return process.resourceUsage().maxRSS * 1024;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      image: { type: 'string', default: 'media/samples/16-photograph.jpg' },
      tokens: { type: 'string', default: '24' },
      contestant: { type: 'string' },
    },
  });
  const [folder] = positionals;
  if (folder === undefined) throw new Error('Name the folder that makeRealShapes.py wrote.');
  const job: Job = {
    folder: resolve(folder),
    image: resolve(values.image),
    tokens: Number(values.tokens),
  };
  if (values.contestant !== undefined) {
    process.stdout.write(`\n${JSON.stringify(await contestants[values.contestant]!(job))}`);
    return;
  }
  const figures: Record<string, Figures> = {};
  for (const name of Object.keys(contestants)) {
    process.stderr.write(`${name} …\n`);
    const script = fileURLToPath(import.meta.url);
    const own = [...process.argv.slice(2), '--contestant', name];
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--import', 'tsx', script, ...own],
      { maxBuffer: 1 << 26 },
    );
    figures[name] = JSON.parse(stdout.trim().split('\n').at(-1)!) as Figures;
  }
  print(basename(job.folder), figures);
  mkdirSync('bench-results', { recursive: true });
  const report = { cores: availableParallelism(), tokens: job.tokens, figures };
  writeFileSync(
    join('bench-results', `${basename(job.folder)}.json`),
    `${JSON.stringify(report, null, 2)}\n`,
  );
}

function print(name: string, { ours, weights, theirs }: Record<string, Figures>): void {
  const rows: [string, string, string][] = [
    ['load', seconds(ours!.loadMs), seconds(theirs!.loadMs)],
    ['peak memory', gigabytes(ours!.peakBytes), gigabytes(theirs!.peakBytes)],
    ['peak memory as predicted', gigabytes(ours!.predictedBytes), '–'],
    ['prompt tokens', String(ours!.promptTokens), String(theirs!.promptTokens)],
    ['vision encoder', seconds(ours!.visionMs), '–'],
    ['prefill', seconds(ours!.prefillMs), '–'],
    ...rolloutCounts.map((k): [string, string, string] => [
      `decoding step, K = ${k}`,
      `${milliseconds(ours!.stepMs[k])} (weights alone ${milliseconds(weights!.weightsStepMs![k])})`,
      milliseconds(theirs!.stepMs[k]),
    ]),
    ['answer, K = 1', seconds(ours!.totalMs), seconds(theirs!.totalMs)],
  ];
  console.log(`| ${name} | AVIS | transformers.js |\n|---|---|---|`);
  for (const row of rows) console.log(`| ${row.join(' | ')} |`);
}

function seconds(value?: number): string {
  return value === undefined ? '–' : `${(value / 1000).toFixed(2)} s`;
}

function gigabytes(value?: number): string {
  return value === undefined ? '–' : `${(value / 1e9).toFixed(2)} GB`;
}

function milliseconds(value?: number): string {
  return value === undefined ? '–' : `${value.toFixed(0)} ms`;
}

await main();
