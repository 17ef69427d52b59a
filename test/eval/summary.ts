/** From measurements to figures. Pure. */
import { computeCost } from '../../src/avis/compute';
import { chooseRollouts, defaultBins } from '../../src/avis/policy';
import { isVoteSettled, tallyVotes } from '../../src/avis/vote';
import type { CostModel, ModelInfo } from '../../src/shared/types';
import {
  armNames,
  comparedRatios,
  type Item,
  type Measurement,
  mostRollouts,
  ratios,
  solvabilityRollouts,
} from './measurements';
import { prunerNames } from './pruners';
import { auroc, bootstrapMean, type Interval, wilson } from './statistics';

/** One way to answer all items. */
export interface Row {
  name: string;
  accuracy: Interval;
  /** Paired difference of accuracy to vanilla. */
  gain: Interval;
  /** Operations over vanilla's, item by item, without the vision encoder (the paper's #F). */
  cost: Interval;
  costWithVision: number;
  /** Share of visual tokens pruned, and rollouts, in the mean. */
  pruned: number;
  rollouts: number;
  byTask: Record<string, Interval>;
  byDifficulty: Record<Difficulty, Interval>;
}

export type Difficulty = 'easy' | 'middle' | 'hard';

export interface Summary {
  items: number;
  rows: Row[];
  /** ρ × K, for the heatmap. */
  grid: { ratio: number; k: number; accuracy: number; cost: number }[];
  /** Accuracy at K = 1 by pruner. */
  pruners: { name: string; ratio: number; accuracy: Interval; gain: Interval }[];
  /** How often AVIS chose each K, by difficulty. */
  rolloutHistogram: { k: number; counts: Record<Difficulty, number> }[];
  /** Items by how many of the 8 sampled rollouts were right. */
  solvabilityHistogram: number[];
  /** Items with 2 to 6 of 8 right: what K = 7 gains over K = 1. */
  middleSolvability: { items: number; gain: Interval };
  /** Fixed (ρ, K) of no greater cost than AVIS, the most accurate of them. */
  bestFixedWithinCost: { ratio: number; k: number; accuracy: number; cost: number } | null;
  predictor: PredictorQuality | null;
}

export interface PredictorQuality {
  /** Right at least half of the time, or not. */
  auroc: number | null;
  /** At least the median solvability, or not. */
  aurocAtMedian: number | null;
  /** Mean of each task's own, where a task has both classes. */
  aurocWithinTasks: number | null;
  /** Items in tenths of p̂. */
  calibration: { predicted: number; measured: Interval; items: number }[];
}

/** One item answered in one way. */
interface Outcome {
  right: boolean;
  cost: number;
  costWithVision: number;
  pruned: number;
  rollouts: number;
}

type Find = (item: number, arm: string) => Measurement;
type Rollouts = Measurement['rollouts'];

/** @param find throws where a measurement is missing */
export function summarize(items: Item[], model: ModelInfo, find: Find): Summary {
  const outcomesOf = (arm: string, rolloutsOf: (m: Measurement) => Rollouts): Outcome[] =>
    items.map((item, i) => {
      const measurement = find(i, arm);
      const vanilla = find(i, armNames.greedy(0)).rollouts[0]!.tokens;
      return outcomeOf(item, measurement, rolloutsOf(measurement), vanilla, model.cost);
    });
  const fixed = (ratio: number, k: number): Outcome[] =>
    k === 1
      ? outcomesOf(armNames.greedy(ratio), ({ rollouts }) => rollouts)
      : outcomesOf(armNames.sampled(ratio), ({ rollouts }) => rollouts.slice(0, k));

  const vanilla = fixed(0, 1);
  const row = (name: string, outcomes: Outcome[]) => rowOf(name, items, outcomes, vanilla);
  const avis = outcomesOf(armNames.avis, ({ rollouts }) => rollouts);
  const avisRow = row('AVIS', avis);
  const grid = ratios.flatMap((ratio) =>
    [1, 3, 5, mostRollouts].map((k) => {
      const outcomes = fixed(ratio, k);
      return {
        ratio,
        k,
        accuracy: shareRight(outcomes).value,
        cost: mean(outcomes.map(({ cost }) => cost)),
      };
    }),
  );

  const rightRollouts = items.map(
    (item, i) =>
      find(i, armNames.solvability).rollouts.filter(({ answer }) => isRight(item, answer)).length,
  );
  const middle = items
    .map((_, i) => i)
    .filter((i) => rightRollouts[i]! >= 2 && rightRollouts[i]! <= 6);
  const seven = fixed(0, mostRollouts);
  const affordable = grid.filter(({ cost }) => cost <= avisRow.cost.value);

  return {
    items: items.length,
    rows: [
      row('vanilla', vanilla),
      ...[3, 5, 7].map((k) => row(`ρ 0, K ${k}`, fixed(0, k))),
      ...comparedRatios.map((ratio) => row(`ρ ${ratio}, K 1`, fixed(ratio, 1))),
      row('ρ 0.75, K 5', fixed(0.75, 5)),
      row(
        'adaptive ρ, K 1',
        outcomesOf(armNames.adaptivePruning, ({ rollouts }) => rollouts),
      ),
      ...adaptiveRolloutsRow(items, model, find, fixed, row),
      avisRow,
      row(
        'AVIS, early stop',
        outcomesOf(armNames.avis, ({ rollouts }) => stopEarly(rollouts)),
      ),
    ],
    grid,
    pruners: comparedRatios.flatMap((ratio) => [
      prunerLine('KDV', ratio, fixed(ratio, 1), vanilla),
      ...prunerNames.map((name) =>
        prunerLine(
          name,
          ratio,
          outcomesOf(armNames.pruner(name, ratio), ({ rollouts }) => rollouts),
          vanilla,
        ),
      ),
    ]),
    rolloutHistogram: histogramOf(items, avis),
    solvabilityHistogram: Array.from(
      { length: solvabilityRollouts + 1 },
      (_, right) => rightRollouts.filter((count) => count === right).length,
    ),
    middleSolvability: {
      items: middle.length,
      gain: bootstrapMean(middle.map((i) => Number(seven[i]!.right) - Number(vanilla[i]!.right))),
    },
    bestFixedWithinCost: affordable.sort((a, b) => b.accuracy - a.accuracy)[0] ?? null,
    predictor: predictorQuality(
      items,
      items.map((_, i) => find(i, armNames.avis).solvability),
      rightRollouts.map((right) => right / solvabilityRollouts),
    ),
  };
}

/**
 * The rollouts as early stop cuts them. All decode one token a step, side by side; after each step
 * those still running are stopped if the vote is settled.
 */
export function stopEarly(rollouts: Rollouts): Rollouts {
  for (const step of rollouts.map(({ tokens }) => tokens).sort((a, b) => a - b)) {
    const finished = rollouts.map(({ answer, tokens }) => (tokens <= step ? answer : undefined));
    if (isVoteSettled(finished)) {
      return rollouts.map(({ answer, tokens }) =>
        tokens <= step ? { answer, tokens } : { answer: null, tokens: step },
      );
    }
  }
  return rollouts;
}

function adaptiveRolloutsRow(
  items: Item[],
  model: ModelInfo,
  find: Find,
  fixed: (ratio: number, k: number) => Outcome[],
  row: (name: string, outcomes: Outcome[]) => Row,
): Row[] {
  if (!model.hasPredictor) return [];
  const bins = model.policy?.bins ?? defaultBins;
  const byK = new Map([1, 3, 5, 7].map((k) => [k, fixed(0, k)]));
  const outcomes = items.map((_, i) => {
    const { k } = chooseRollouts(find(i, armNames.avis).solvability!, bins, mostRollouts);
    return byK.get(k)![i]!;
  });
  return [row('ρ 0, adaptive K', outcomes)];
}

function outcomeOf(
  item: Item,
  measurement: Measurement,
  rollouts: Rollouts,
  vanillaTokens: number,
  cost: CostModel,
): Outcome {
  const { saved, savedWithVision } = computeCost({
    cost,
    visionFlops: measurement.visionFlops,
    textTokens: measurement.textTokens,
    visualTokens: measurement.visualTokens,
    keptTokens: measurement.keptTokens,
    rolloutTokens: rollouts.map(({ tokens }) => tokens),
    vanillaAnswerTokens: { tokens: vanillaTokens, source: 'measured' },
  });
  return {
    right: isRight(item, tallyVotes(rollouts.map(({ answer }) => answer)).answer),
    cost: 1 - saved,
    costWithVision: 1 - savedWithVision,
    pruned: 1 - measurement.keptTokens / measurement.visualTokens,
    rollouts: rollouts.length,
  };
}

function rowOf(name: string, items: Item[], outcomes: Outcome[], vanilla: Outcome[]): Row {
  const tasks = [...new Set(items.map(({ task }) => task))].sort();
  const where = (test: (item: Item) => boolean) =>
    shareRight(outcomes.filter((_, i) => test(items[i]!)));
  return {
    name,
    accuracy: shareRight(outcomes),
    gain: gainOver(vanilla, outcomes),
    cost: bootstrapMean(outcomes.map(({ cost }) => cost)),
    costWithVision: mean(outcomes.map(({ costWithVision }) => costWithVision)),
    pruned: mean(outcomes.map(({ pruned }) => pruned)),
    rollouts: mean(outcomes.map(({ rollouts }) => rollouts)),
    byTask: Object.fromEntries(tasks.map((task) => [task, where((item) => item.task === task)])),
    byDifficulty: {
      easy: where((item) => difficultyOf(item) === 'easy'),
      middle: where((item) => difficultyOf(item) === 'middle'),
      hard: where((item) => difficultyOf(item) === 'hard'),
    },
  };
}

function prunerLine(name: string, ratio: number, outcomes: Outcome[], vanilla: Outcome[]) {
  return { name, ratio, accuracy: shareRight(outcomes), gain: gainOver(vanilla, outcomes) };
}

function histogramOf(items: Item[], avis: Outcome[]): Summary['rolloutHistogram'] {
  const ks = [...new Set([1, 3, 5, 7, ...avis.map(({ rollouts }) => rollouts)])];
  return ks
    .sort((a, b) => a - b)
    .map((k) => {
      const counts = { easy: 0, middle: 0, hard: 0 };
      for (const [i, item] of items.entries()) {
        if (avis[i]!.rollouts === k) counts[difficultyOf(item)]++;
      }
      return { k, counts };
    });
}

function predictorQuality(
  items: Item[],
  predictions: (number | null)[],
  solvability: number[],
): PredictorQuality | null {
  if (predictions.includes(null)) return null;
  const predicted = predictions as number[];
  const sorted = solvability.toSorted((a, b) => a - b);
  const medianSolvability = sorted[Math.floor(sorted.length / 2)]!;
  const solvable = solvability.map((share) => share >= 0.5);
  const withinTasks = [...new Set(items.map(({ task }) => task))].flatMap((task) => {
    const own = items.map((_, i) => i).filter((i) => items[i]!.task === task);
    const area = auroc(
      own.map((i) => predicted[i]!),
      own.map((i) => solvable[i]!),
    );
    return area === null ? [] : [area];
  });
  return {
    auroc: auroc(predicted, solvable),
    aurocAtMedian: auroc(
      predicted,
      solvability.map((share) => share >= medianSolvability),
    ),
    aurocWithinTasks: withinTasks.length > 0 ? mean(withinTasks) : null,
    calibration: Array.from({ length: 10 }, (_, tenth) => {
      const own = predicted
        .map((_, i) => i)
        .filter((i) => Math.min(Math.floor(predicted[i]! * 10), 9) === tenth);
      return {
        predicted: mean(own.map((i) => predicted[i]!)),
        measured: bootstrapMean(own.map((i) => solvability[i]!)),
        items: own.length,
      };
    }).filter((bin) => bin.items > 0),
  };
}

export function isRight(item: Item, answer: string | null): boolean {
  return answer?.trim().toLowerCase() === item.answer.trim().toLowerCase();
}

export function difficultyOf({ hard }: Item): Difficulty {
  if (hard < 1 / 3) return 'easy';
  return hard < 2 / 3 ? 'middle' : 'hard';
}

function gainOver(vanilla: Outcome[], outcomes: Outcome[]): Interval {
  return bootstrapMean(outcomes.map(({ right }, i) => Number(right) - Number(vanilla[i]!.right)));
}

function shareRight(outcomes: Outcome[]): Interval {
  return wilson(outcomes.filter(({ right }) => right).length, outcomes.length);
}

function mean(values: number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
