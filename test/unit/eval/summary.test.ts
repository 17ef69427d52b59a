import assert from 'node:assert/strict';
import { drawFigures } from '../../eval/figures';
import { armsFor, type Item, type Measurement, ratios } from '../../eval/measurements';
import { isRight, stopEarly, summarize } from '../../eval/summary';
import { formatTable } from '../../eval/table';
import { sampleModel } from '../avis/sampleRun';

const items: Item[] = Array.from({ length: 40 }, (_, i) => ({
  image: `${i}.webp`,
  question: 'How many?',
  answer: '4',
  task: i % 2 === 0 ? 'count' : 'read',
  hard: i / 40,
}));

/** A model that is right on the easy half; sampled rollouts and pruning to ρ > 0.5 mend or break it. */
function measurementOf(index: number, arm: string): Measurement {
  const specification = armsFor(sampleModel).find(({ name }) => name === arm)!;
  const { prune, rollouts } = specification.settings;
  const ratio = prune.mode === 'fixed' ? prune.ratio : 0.5;
  const k = rollouts.mode === 'fixed' ? rollouts.k : index % 2 === 0 ? 1 : 7;
  const easy = index < 20;
  const right = (rollout: number) =>
    ratio > 0.5 ? index < 10 : easy || (k > 1 && index < 30 && rollout % 8 < 5);
  return {
    item: index,
    arm,
    textTokens: 20,
    visualTokens: 100,
    keptTokens: Math.round(100 * (1 - ratio)),
    visionFlops: 1000,
    solvability: easy ? 0.95 : 0.3,
    rollouts: Array.from({ length: k }, (_, r) => ({
      answer: right(r) ? '4' : `wrong ${r}`,
      tokens: 10 + r,
    })),
    elapsedMs: 1,
  };
}

const summary = summarize(items, sampleModel, measurementOf);
const rowNamed = (name: string) => summary.rows.find((row) => row.name === name)!;

describe('evaluation summary', () => {
  it('has vanilla as its measure: cost 1, gain 0', () => {
    const vanilla = rowNamed('vanilla');
    assert.deepEqual(vanilla.cost, { value: 1, low: 1, high: 1 });
    assert.equal(vanilla.costWithVision, 1);
    assert.equal(vanilla.gain.value, 0);
    assert.equal(vanilla.accuracy.value, 0.5);
  });

  it('has every row that was asked for', () => {
    assert.deepEqual(
      summary.rows.map(({ name }) => name),
      [
        'vanilla',
        'ρ 0, K 3',
        'ρ 0, K 5',
        'ρ 0, K 7',
        'ρ 0.25, K 1',
        'ρ 0.5, K 1',
        'ρ 0.75, K 1',
        'ρ 0.75, K 5',
        'adaptive ρ, K 1',
        'ρ 0, adaptive K',
        'AVIS',
        'AVIS, early stop',
      ],
    );
    assert.equal(summary.grid.length, ratios.length * 4);
  });

  it('votes over as many rollouts as K, and pairs the gain with vanilla', () => {
    const seven = rowNamed('ρ 0, K 7');
    assert.equal(seven.accuracy.value, 0.75);
    assert.equal(seven.gain.value, 0.25);
    assert.ok(seven.gain.low > 0 && seven.gain.high < 0.5);
    assert.equal(seven.rollouts, 7);
    assert.ok(seven.cost.value > rowNamed('ρ 0, K 3').cost.value);
  });

  it('counts pruning as cheaper and finds what it breaks', () => {
    const pruned = rowNamed('ρ 0.75, K 1');
    assert.ok(pruned.cost.value < rowNamed('ρ 0.25, K 1').cost.value);
    assert.equal(pruned.accuracy.value, 0.25);
    assert.equal(pruned.pruned, 0.75);
  });

  it('splits by task and by difficulty', () => {
    const { byTask, byDifficulty } = rowNamed('vanilla');
    assert.deepEqual(Object.keys(byTask), ['count', 'read']);
    assert.equal(byDifficulty.easy.value, 1);
    assert.equal(byDifficulty.hard.value, 0);
  });

  it('measures the middle of solvability, the histogram of K and the predictor', () => {
    assert.deepEqual(summary.solvabilityHistogram, [10, 0, 0, 0, 0, 10, 0, 0, 20]);
    assert.equal(summary.middleSolvability.items, 10);
    assert.equal(summary.middleSolvability.gain.value, 1);
    assert.deepEqual(
      summary.rolloutHistogram.map(({ k, counts }) => [
        k,
        counts.easy + counts.middle + counts.hard,
      ]),
      [
        [1, 20],
        [3, 0],
        [5, 0],
        [7, 20],
      ],
    );
    assert.equal(summary.predictor!.auroc, (20 + 10 / 2) / 30);
    assert.deepEqual(
      summary.predictor!.calibration.map(({ items }) => items),
      [20, 20],
    );
  });

  it('makes early stop cheaper and no different', () => {
    const early = rowNamed('AVIS, early stop');
    assert.equal(early.accuracy.value, rowNamed('AVIS').accuracy.value);
    assert.ok(early.cost.value < rowNamed('AVIS').cost.value);
  });

  it('makes a table and figures without holes', () => {
    const table = formatTable(summary, { vanilla: 12.3 });
    assert.ok(table.includes('12 ms'));
    for (const markup of [table, ...Object.values(drawFigures(summary))]) {
      assert.ok(!/NaN|undefined|Infinity/.test(markup), markup);
    }
    assert.deepEqual(Object.keys(drawFigures(summary)), [
      'heatmap.svg',
      'scatter.svg',
      'pruners.svg',
      'rollouts.svg',
      'calibration.svg',
    ]);
  });
});

describe('stopEarly', () => {
  it('cuts what is running once the vote is settled', () => {
    const rollouts = [
      { answer: 'a', tokens: 5 },
      { answer: 'a', tokens: 9 },
      { answer: 'b', tokens: 20 },
    ];
    assert.deepEqual(stopEarly(rollouts), [
      { answer: 'a', tokens: 5 },
      { answer: 'a', tokens: 9 },
      { answer: null, tokens: 9 },
    ]);
  });

  it('leaves rollouts that are all needed', () => {
    const rollouts = [
      { answer: 'a', tokens: 5 },
      { answer: 'b', tokens: 9 },
      { answer: 'b', tokens: 20 },
    ];
    assert.deepEqual(stopEarly(rollouts), rollouts);
  });
});

describe('isRight', () => {
  it('forgives case and spaces only', () => {
    const item = items[0]!;
    assert.ok(isRight({ ...item, answer: 'Star' }, ' star'));
    assert.ok(!isRight({ ...item, answer: '4' }, '40'));
    assert.ok(!isRight(item, null));
  });
});
