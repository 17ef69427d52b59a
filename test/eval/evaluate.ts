/**
 * Accuracy and cost of the embedded model through the engine, on held-out items:
 *
 *   npm run eval -- [--items 1000] [--set FOLDER] [--timed 20] [--model FOLDER] [--device cpu] [--out FOLDER]
 *
 * A set is a folder of items.json and pictures, written by `python -m training.heldout`. What is
 * finished is kept in the out folder, line by line: an interrupted evaluation goes on where it stopped.
 * Prints the table; writes evaluation.json and the figures.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { defaultSettings, vanillaSettings } from '../../src/avis/settings';
import { Engine } from '../../src/engine/engine';
import { AvisError } from '../../src/shared/errors';
import type { AskSettings, DeviceSetting, ModelInfo } from '../../src/shared/types';
import { drawFigures } from './figures';
import {
  armsFor,
  identityOf,
  type Item,
  type Measurement,
  measure,
  MeasurementFile,
  readItems,
} from './measurements';
import { median } from './statistics';
import { summarize } from './summary';
import { formatTable, type WallTimes } from './table';

const root = fileURLToPath(new URL('../..', import.meta.url));
const fullSet = join(root, 'training/.cache/eval');
const committedSet = join(root, 'test/fixtures/eval');
const { values } = parseArgs({
  options: {
    items: { type: 'string', default: '1000' },
    set: { type: 'string', default: existsSync(fullSet) ? fullSet : committedSet },
    timed: { type: 'string', default: '20' },
    model: { type: 'string', default: join(root, 'media/model') },
    device: { type: 'string', default: 'cpu' },
    out: { type: 'string', default: join(root, 'bench-results/eval') },
  },
});
const setFolder = resolve(values.set);
const outFolder = resolve(values.out);
/** Room for the prefills of one item; items don't come back. */
const cacheBytes = 64e6;
const controller = new AbortController();
process.once('SIGINT', () => controller.abort());

async function loadEngine(cacheBytes: number): Promise<Engine> {
  return Engine.load({
    folder: resolve(values.model),
    device: values.device as DeviceSetting,
    dtype: 'auto',
    cacheFolder: join(tmpdir(), 'avis-eval'),
    cacheBytes,
  });
}

function readImage({ image }: Item): { name: string; bytes: Uint8Array } {
  return { name: image, bytes: readFileSync(join(setFolder, image)) };
}

/** Every arm of every item; an item's arms share its features, and where they can the prefill. */
async function measureAll(engine: Engine, items: Item[], file: MeasurementFile): Promise<void> {
  const arms = armsFor(engine.info);
  const progress = startProgress(items.length);
  for (const [index, item] of items.entries()) {
    const missing = arms.filter(({ name }) => !file.get(index, name));
    const image = missing.length > 0 ? readImage(item) : null;
    for (const arm of image ? missing : []) {
      file.add(await measure(engine, arm, index, item, image!, controller.signal));
    }
    progress(index + 1, missing.length > 0);
  }
}

/** Whole answers with nothing cached: another picture goes through between any two. */
async function measureWall(items: Item[], file: MeasurementFile): Promise<WallTimes> {
  const engine = await loadEngine(1);
  const settings = wallSettings(engine.info);
  const wall: Record<string, number[]> = {};
  for (const [index, item] of items.entries()) {
    const other = items[(index + 1) % items.length]!;
    for (const [row, rowSettings] of Object.entries(settings)) {
      const name = `wall ${row}`;
      let measurement: Measurement | undefined = file.get(index, name);
      if (!measurement) {
        await engine.ask({
          image: readImage(other),
          question: other.question,
          settings: { ...vanillaSettings(rowSettings), maxNewTokens: 1 },
        });
        const arm = { name, settings: rowSettings };
        measurement = await measure(engine, arm, index, item, readImage(item), controller.signal);
        file.add(measurement);
      }
      (wall[row] ??= []).push(measurement.elapsedMs);
    }
  }
  await engine.dispose();
  return Object.fromEntries(Object.entries(wall).map(([row, times]) => [row, median(times)]));
}

/** By the name of the table's row. */
function wallSettings(model: ModelInfo): Record<string, AskSettings> {
  const avis = { ...defaultSettings(model.policy), seed: 1, earlyStop: false };
  const vanilla = vanillaSettings(avis);
  const at = (ratio: number, k: number): AskSettings => ({
    ...vanilla,
    prune: { mode: 'fixed', ratio },
    rollouts: { mode: 'fixed', k },
  });
  return {
    vanilla,
    'ρ 0, K 3': at(0, 3),
    'ρ 0, K 5': at(0, 5),
    'ρ 0, K 7': at(0, 7),
    'ρ 0.25, K 1': at(0.25, 1),
    'ρ 0.5, K 1': at(0.5, 1),
    'ρ 0.75, K 1': at(0.75, 1),
    'ρ 0.75, K 5': at(0.75, 5),
    AVIS: avis,
    'AVIS, early stop': { ...avis, earlyStop: true },
  };
}

/** One line of standard error, rewritten on a terminal. */
function startProgress(total: number): (done: number, measured: boolean) => void {
  const started = performance.now();
  let measuredItems = 0;
  return (done, measured) => {
    if (!measured) return;
    measuredItems++;
    const secondsPerItem = (performance.now() - started) / 1000 / measuredItems;
    const minutesLeft = ((total - done) * secondsPerItem) / 60;
    const line = `item ${done} of ${total}, ${secondsPerItem.toFixed(1)} s each, ${minutesLeft.toFixed(0)} min left`;
    if (process.stderr.isTTY) process.stderr.write(`\r\u001B[K${line}`);
    else if (measuredItems % 20 === 0 || done === total) process.stderr.write(`${line}\n`);
  };
}

async function main(): Promise<void> {
  const set = readItems(setFolder);
  const items = set.slice(0, Number(values.items));
  mkdirSync(outFolder, { recursive: true });
  const engine = await loadEngine(cacheBytes);
  const identity = identityOf(engine.info, set);
  const file = new MeasurementFile(join(outFolder, `measurements-${identity}.jsonl`));

  await measureAll(engine, items, file);
  const wall = await measureWall(items.slice(0, Number(values.timed)), file);
  if (process.stderr.isTTY) process.stderr.write('\n');

  const summary = summarize(items, engine.info, (item, arm) => file.get(item, arm)!);
  for (const [name, svg] of Object.entries(drawFigures(summary))) {
    writeFileSync(join(outFolder, name), svg);
  }
  const { name, parameters, fileHashes, policy } = engine.info;
  writeFileSync(
    join(outFolder, 'evaluation.json'),
    `${JSON.stringify({ model: { name, parameters, fileHashes, policy }, ...summary, wallMs: wall }, null, 2)}\n`,
  );
  console.log(formatTable(summary, wall));
  await engine.dispose();
}

try {
  await main();
} catch (error) {
  if (!(error instanceof AvisError) || error.code !== 'canceled') throw error;
  console.error('\nInterrupted. The same command goes on from here.');
  process.exitCode = 1;
}
