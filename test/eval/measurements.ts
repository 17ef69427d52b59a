/**
 * What is run for each item, and what is kept of it. An arm is one way to answer: its rollouts serve
 * every K up to theirs, since what a rollout says depends on its index and the seed alone.
 */
import { createHash } from 'node:crypto';
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { defaultSettings, vanillaSettings } from '../../src/avis/settings';
import type { Engine } from '../../src/engine/engine';
import type { AskSettings, ModelInfo } from '../../src/shared/types';
import { keepBy, type PrunerName, prunerNames } from './pruners';

export interface Item {
  image: string;
  question: string;
  answer: string;
  task: string;
  /** 0 (easy) to 1, by the generator's knobs. */
  hard: number;
}

/** One finished arm of one item: a line of the JSONL file. */
export interface Measurement {
  item: number;
  arm: string;
  textTokens: number;
  visualTokens: number;
  keptTokens: number;
  visionFlops: number;
  /** p̂; null where the model has no predictor. */
  solvability: number | null;
  rollouts: { answer: string | null; tokens: number }[];
  elapsedMs: number;
}

interface Arm {
  name: string;
  settings: AskSettings;
  /** Prune with this in place of KDV. */
  pruner?: { name: PrunerName; ratio: number };
}

export const ratios = [0, 0.25, 0.5, 0.75, 0.9];
export const comparedRatios = [0.25, 0.5, 0.75];
export const mostRollouts = 7;
/** Sampled rollouts that give an item's solvability, of a seed of their own. */
export const solvabilityRollouts = 8;

export const armNames = {
  greedy: (ratio: number) => `greedy ${ratio}`,
  sampled: (ratio: number) => `sampled ${ratio}`,
  solvability: 'solvability',
  adaptivePruning: 'adaptive greedy',
  avis: 'avis',
  pruner: (name: PrunerName, ratio: number) => `${name} ${ratio}`,
};

/** Every arm of an item, those on the same kept tokens one after the other to share their prefill. */
export function armsFor(model: ModelInfo): Arm[] {
  const avis: AskSettings = { ...defaultSettings(model.policy), seed: 1, earlyStop: false };
  const vanilla = vanillaSettings(avis);
  const at = (ratio: number, k: number, seed = 1): AskSettings => ({
    ...vanilla,
    seed,
    prune: { mode: 'fixed', ratio },
    rollouts: { mode: 'fixed', k },
  });
  return [
    ...ratios.flatMap((ratio) => [
      { name: armNames.greedy(ratio), settings: at(ratio, 1) },
      { name: armNames.sampled(ratio), settings: at(ratio, mostRollouts) },
      ...(ratio === 0
        ? [{ name: armNames.solvability, settings: at(0, solvabilityRollouts, 2) }]
        : []),
    ]),
    { name: armNames.adaptivePruning, settings: { ...vanilla, prune: avis.prune } },
    { name: armNames.avis, settings: avis },
    ...comparedRatios.flatMap((ratio) =>
      prunerNames.map((name) => ({
        name: armNames.pruner(name, ratio),
        settings: at(ratio, 1),
        pruner: { name, ratio },
      })),
    ),
  ];
}

export function readItems(folder: string): Item[] {
  return JSON.parse(readFileSync(join(folder, 'items.json'), 'utf8')) as Item[];
}

export async function measure(
  engine: Engine,
  arm: Arm,
  index: number,
  item: Item,
  image: { name: string; bytes: Uint8Array },
  signal: AbortSignal,
): Promise<Measurement> {
  const started = performance.now();
  const keep = arm.pruner && (await keepOf(engine, arm.pruner, index, image, signal));
  const query = { image, question: item.question, settings: arm.settings, ...(keep && { keep }) };
  const { visual, compute, difficulty, rollouts } = await engine.ask(query, () => {}, signal);
  return {
    item: index,
    arm: arm.name,
    textTokens: compute.promptTokens.text,
    visualTokens: visual.total,
    keptTokens: visual.kept,
    visionFlops: compute.run.vision,
    solvability: difficulty.solvability,
    rollouts: rollouts.map(({ answer, tokens }) => ({ answer, tokens })),
    elapsedMs: performance.now() - started,
  };
}

async function keepOf(
  engine: Engine,
  { name, ratio }: NonNullable<Arm['pruner']>,
  seed: number,
  image: { name: string; bytes: Uint8Array },
  signal: AbortSignal,
): Promise<number[]> {
  const { visual, layout } = await engine.encode(image, signal);
  const tokens = layout.visualTokens;
  const [rows, columns] = layout.tokenGrid;
  const count = Math.max(1, Math.trunc(tokens * (1 - ratio)));
  return keepBy(name, { features: visual.features, tokens, rows, columns }, count, seed);
}

/** Finished measurements in a JSONL file; what was written before an interruption is there again. */
export class MeasurementFile {
  private readonly known = new Map<string, Measurement>();

  constructor(private readonly path: string) {
    if (!existsSync(path)) return;
    for (const line of readFileSync(path, 'utf8').split('\n')) {
      const measurement = parseLine(line);
      if (measurement) this.known.set(keyOf(measurement), measurement);
    }
  }

  get(item: number, arm: string): Measurement | undefined {
    return this.known.get(keyOf({ item, arm }));
  }

  add(measurement: Measurement): void {
    this.known.set(keyOf(measurement), measurement);
    appendFileSync(this.path, `${JSON.stringify(measurement)}\n`);
  }
}

/** What the measurements depend on: another model or other items start another file. */
export function identityOf(model: ModelInfo, set: Item[]): string {
  const settings = armsFor(model).map(({ name, settings }) => [name, settings]);
  const identity = JSON.stringify([model.fileHashes, model.device.device, settings, set]);
  return createHash('sha256').update(identity).digest('hex').slice(0, 12);
}

/** The last line may have been cut off by an interruption. */
function parseLine(line: string): Measurement | null {
  try {
    return JSON.parse(line) as Measurement;
  } catch {
    return null;
  }
}

function keyOf({ item, arm }: Pick<Measurement, 'item' | 'arm'>): string {
  return `${item} ${arm}`;
}
