import assert from 'node:assert/strict';
import { formatHeatmap, formatReport } from '../../../src/cli/report';
import type { DifficultyResult } from '../../../src/shared/types';
import { sampleModel, sampleResult } from '../avis/sampleRun';

const plain = { color: false, width: 80 };
const timing = { loadMs: 100, totalMs: 1250 };
const { visual } = sampleResult;
const region = visual.regions[0]!;

describe('report', () => {
  it('says what a person wants to know', () => {
    const report = formatReport(sampleResult, sampleModel, plain, timing);
    for (const part of [
      'Answer    4',
      'solvability 0.40, K = 3 (7 wanted, 3 allowed)',
      '12 of 48 visual tokens kept, 75 % pruned',
      'Rollout  1 ✓ 4       20 tokens, 5.0 ms',
      'Rollout  3   (none)  22 tokens, 5.0 ms',
      '44 % less than vanilla (its answer length estimated), 40 % less than it with the vision',
      'KV cache  100 B; vanilla 150 B',
      '1.25 s = load 100 ms',
      'tiny (qwen2_5_vl) on cpu',
    ]) {
      assert.ok(report.includes(part), `${part}\nis not in\n${report}`);
    }
  });

  it('says when there is no answer, when a rollout was cut, and what is odd', () => {
    const report = formatReport(
      {
        ...sampleResult,
        vote: { answer: null, counts: [], abstentions: [0] },
        rollouts: [{ ...sampleResult.rollouts[2]!, stopped: 'maxNewTokens' }],
        compute: { ...sampleResult.compute, saved: -0.25 },
        visual: { ...visual, familiarity: { distance: 3, threshold: 1, unfamiliar: true } },
      },
      { ...sampleModel, warnings: ['The vision encoder is quantized.'] },
      plain,
      timing,
    );
    for (const part of [
      'none: no rollout gave one',
      'cut at the token limit',
      '25 % more than vanilla',
      'unlike those that the model was trained on',
      'The vision encoder is quantized.',
    ]) {
      assert.ok(report.includes(part), `${part}\nis not in\n${report}`);
    }
  });

  it('says how K came about', () => {
    for (const [difficulty, description] of [
      [{ source: 'fixed', solvability: null, wanted: 3, k: 3, cap: null }, 'K = 3 as asked'],
      [
        { source: 'betaStopping', solvability: null, wanted: 7, k: 4, cap: 7 },
        'no predictor; the vote was clear after K = 4 of at most 7',
      ],
      [
        { source: 'betaStopping', solvability: null, wanted: 7, k: 7, cap: 7 },
        'no predictor; K = 7, the most allowed',
      ],
      [
        { source: 'predictor', solvability: 0.9, wanted: 1, k: 1, cap: 7 },
        'solvability 0.90, K = 1\n',
      ],
    ] as [DifficultyResult, string][]) {
      const report = formatReport({ ...sampleResult, difficulty }, sampleModel, plain, timing);
      assert.ok(report.includes(`Difficulty  ${description}`), report);
    }
  });

  it('keeps a rollout on one line, however long its answer', () => {
    const rollout = { ...sampleResult.rollouts[0]!, answer: `many\nlines ${'x'.repeat(500)}` };
    const report = formatReport(
      { ...sampleResult, rollouts: [rollout] },
      sampleModel,
      plain,
      timing,
    );
    assert.ok(report.split('\n').every((line) => line.length < 200));
  });
});

describe('terminal heatmap', () => {
  it('shades kept tokens by score and dots pruned ones', () => {
    assert.deepEqual(formatHeatmap(region, visual, plain), [
      '················',
      '················',
      '················',
      '········░░░░░░░░',
      '········▒▒▒▒▓▓▓▓',
      '········████████',
    ]);
  });

  it('is bright where the score is high', () => {
    const colored = formatHeatmap(region, visual, { color: true, width: 80 });
    assert.ok(colored.at(-1)!.endsWith('\u001B[48;2;253;231;37m  \u001B[0m'));
    assert.ok(colored[3]!.includes('\u001B[48;2;68;1;84m  \u001B[0m'));
    assert.ok(colored[0]!.startsWith('\u001B[2m··\u001B[0m'));
  });

  it('pools tokens on a narrow terminal', () => {
    assert.deepEqual(formatHeatmap(region, visual, { color: false, width: 8 }), [
      '········',
      '····░░░░',
      '····████',
    ]);
  });

  it('shows a lone kept token', () => {
    const lone = { ...visual, keep: [0] };
    assert.equal(formatHeatmap(region, lone, plain)[0]!.slice(0, 4), '░░··');
  });
});
