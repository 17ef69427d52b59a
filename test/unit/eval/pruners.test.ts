import assert from 'node:assert/strict';
import { keepBy, keepDiverse, keepGrid, prunerNames } from '../../eval/pruners';
import { normals, randomSource } from '../avis/random';

const visual = {
  features: normals(randomSource(1), 48 * 8),
  tokens: 48,
  rows: 6,
  columns: 8,
};

const dot = (a: number[], b: number[]) => a.reduce((sum, x, d) => sum + x * b[d]!, 0);

describe('comparison pruners', () => {
  for (const name of prunerNames) {
    it(`${name} keeps as many as asked, ascending, without repeats`, () => {
      for (const count of [1, 12, 24, 36, 48]) {
        const kept = keepBy(name, visual, count, 3);
        assert.equal(kept.length, count);
        assert.equal(new Set(kept).size, count);
        assert.deepEqual(
          kept,
          kept.toSorted((a, b) => a - b),
        );
        assert.ok(kept[0]! >= 0 && kept.at(-1)! < 48);
      }
    });
  }

  it('random depends on the seed alone', () => {
    assert.deepEqual(keepBy('random', visual, 12, 3), keepBy('random', visual, 12, 3));
    assert.notDeepEqual(keepBy('random', visual, 12, 3), keepBy('random', visual, 12, 4));
  });

  it('uniform grid is every second cell at a quarter and a checkerboard at a half', () => {
    assert.deepEqual(keepGrid(4, 4, 4), [0, 2, 8, 10]);
    const half = keepGrid(4, 6, 12);
    assert.ok(half.every((i) => (Math.floor(i / 6) + i) % 2 === 0));
  });

  it('embedding norm keeps the longest', () => {
    const features = Float32Array.of(3, 0, 0, 1, 2, 2);
    assert.deepEqual(
      keepBy('embedding norm', { features, tokens: 3, rows: 1, columns: 3 }, 2, 0),
      [0, 2],
    );
  });

  it('DivPrune equals a literal greedy max-min choice', () => {
    const random = randomSource(12);
    for (let trial = 0; trial < 20; trial++) {
      const tokens = 5 + Math.floor(random() * 20);
      const width = 4;
      const features = normals(random, tokens * width);
      const rows = Array.from({ length: tokens }, (_, i) => [
        ...features.subarray(i * width, (i + 1) * width),
      ]);
      const distance = rows.map((a) =>
        rows.map((b) => 1 - dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b))),
      );
      const chosen: number[] = [];
      while (chosen.length < 4) {
        const score = (i: number) =>
          chosen.length === 0
            ? Math.min(...distance[i]!.filter((_, j) => j !== i))
            : Math.min(...chosen.map((j) => distance[i]![j]!));
        const left = rows.map((_, i) => i).filter((i) => !chosen.includes(i));
        chosen.push(left.reduce((best, i) => (score(i) > score(best) ? i : best)));
      }
      assert.deepEqual(
        keepDiverse({ features, tokens }, 4),
        chosen.sort((a, b) => a - b),
      );
    }
  });
});
