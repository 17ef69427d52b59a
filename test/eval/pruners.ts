/**
 * Pruners to compare KDV with, at the same number of kept tokens. Each returns ascending indices.
 */
import { highestScores } from '../../src/avis/kdv';
import { randomSource } from '../unit/avis/random';

/** What the vision encoder gave for one image. */
export interface Visual {
  /** [tokens, hidden] */
  features: Float32Array;
  tokens: number;
  rows: number;
  columns: number;
}

export const prunerNames = ['random', 'uniform grid', 'DivPrune', 'embedding norm'] as const;
export type PrunerName = (typeof prunerNames)[number];

export function keepBy(name: PrunerName, visual: Visual, count: number, seed: number): number[] {
  switch (name) {
    case 'random':
      return keepRandom(visual.tokens, count, seed);
    case 'uniform grid':
      return keepGrid(visual.rows, visual.columns, count);
    case 'DivPrune':
      return keepDiverse(visual, count);
    case 'embedding norm':
      return highestScores(embeddingNorms(visual), count);
    default:
      return name satisfies never;
  }
}

function keepRandom(tokens: number, count: number, seed: number): number[] {
  const random = randomSource(seed);
  return highestScores(
    Array.from({ length: tokens }, () => random()),
    count,
  );
}

/**
 * An even spread over the grid: the `count` cells that come first in a Bayer matrix, which at a
 * quarter are every second cell of every second row, and at a half a checkerboard.
 */
export function keepGrid(rows: number, columns: number, count: number): number[] {
  const order = Array.from(
    { length: rows * columns },
    (_, i) => -bayerRank(Math.floor(i / columns), i % columns),
  );
  return highestScores(order, count);
}

/** Rank of a cell in the 256 × 256 Bayer matrix. */
function bayerRank(row: number, column: number): number {
  let rank = 0;
  for (let bit = 0; bit < 8; bit++) {
    const mixed = ((row ^ column) >> bit) & 1;
    rank = rank * 4 + mixed * 2 + ((row >> bit) & 1);
  }
  return rank;
}

/**
 * DivPrune (Alvar et al. 2025, arXiv 2503.02175): greedy max-min distance, 1 − cosine, of the visual
 * embeddings. First comes the token farthest from its nearest neighbour.
 */
export function keepDiverse(
  { features, tokens }: Pick<Visual, 'features' | 'tokens'>,
  count: number,
): number[] {
  const width = features.length / tokens;
  const norms = embeddingNorms({ features, tokens });
  const distance = (a: number, b: number): number => {
    let dot = 0;
    for (let d = 0; d < width; d++) dot += features[a * width + d]! * features[b * width + d]!;
    return 1 - dot / Math.max(norms[a]! * norms[b]!, 1e-12);
  };

  const all = Array.from({ length: tokens }, (_, i) => i);
  const nearest = all.map((a) =>
    all.reduce((least, b) => (a === b ? least : Math.min(least, distance(a, b))), Infinity),
  );
  const chosen: number[] = [];
  // From the first choice on: distance to the nearest chosen token.
  let toChosen = nearest;
  while (chosen.length < count) {
    const next = toChosen.reduce((best, value, i) => (value > toChosen[best]! ? i : best), 0);
    const before = chosen.length === 0 ? all.map(() => Infinity) : toChosen;
    chosen.push(next);
    toChosen = all.map((token) =>
      token === next || before[token] === -Infinity
        ? -Infinity
        : Math.min(before[token]!, distance(token, next)),
    );
  }
  return chosen.sort((a, b) => a - b);
}

export function embeddingNorms({
  features,
  tokens,
}: Pick<Visual, 'features' | 'tokens'>): Float64Array {
  const width = features.length / tokens;
  return Float64Array.from({ length: tokens }, (_, token) =>
    Math.hypot(...features.subarray(token * width, (token + 1) * width)),
  );
}
