import assert from 'node:assert/strict';
import { computeCost } from '../../../src/avis/compute';
import { keepVisualTokens } from '../../../src/avis/kdv';
import { computeWithVanilla, countedFlops } from '../../../src/avis/measuredVanilla';
import { nearestValid } from '../../../webview/lever';
import {
  agreementOf,
  compareKept,
  fatesOfKeep,
  keepThreshold,
  predictRollouts,
  predictRun,
  rankScores,
  reasoningOf,
} from '../../../webview/runFigures';
import { comparisonRows, describeRun } from '../../../webview/runRows';
import { modelInfo, record, scores, settingsWith } from './fixtures';

describe('figures of a run', () => {
  it('counts agreement among rollouts that were decoded to their end', () => {
    const stopped = record(1, { answers: ['a', 'a', 'b', null], stopped: 'earlyStop' }).result;
    assert.deepEqual(agreementOf(stopped.vote, stopped.rollouts), {
      agreeing: 2,
      finished: 3,
      share: 2 / 3,
    });
    const silent = record(1, { answers: [null] }).result;
    assert.deepEqual(agreementOf(silent.vote, silent.rollouts), {
      agreeing: 0,
      finished: 1,
      share: 0,
    });
  });

  it('takes vanilla as measured once it was run for the same question', () => {
    const run = record(1);
    const vanilla = record(2, {
      purpose: 'vanilla',
      settings: settingsWith({
        prune: { mode: 'fixed', ratio: 0 },
        rollouts: { mode: 'fixed', k: 1 },
      }),
      answers: ['red'],
    });
    const other = record(3, { purpose: 'vanilla', question: 'Another?', answers: ['no'] });
    assert.equal(computeWithVanilla(run, [run, other]), run.result.compute);
    const compute = computeWithVanilla(run, [run, vanilla, other]);
    assert.equal(compute.vanillaSource, 'measured');
    const expected =
      1 - countedFlops(run.result.compute.run) / countedFlops(vanilla.result.compute.run);
    assert.equal(compute.saved, expected);
    assert.equal(compute.vanillaKvBytes, vanilla.result.compute.kvBytes);
    assert.equal(computeWithVanilla(vanilla, [run, vanilla]).saved, 0);
  });

  it('ranks by score, equal ones by place', () => {
    assert.deepEqual(rankScores([0.1, 0.5, 0.1, -1]), [2, 1, 3, 4]);
  });

  it('knows the threshold of either mode', () => {
    const byAngle = { mode: 'adaptive', tauDegrees: 60 } as const;
    assert.ok(Math.abs(keepThreshold(scores, byAngle, []) + 0.5) < 1e-12);
    const byShare = { mode: 'fixed', ratio: 0.5 } as const;
    const keep = keepVisualTokens(scores, byShare);
    assert.equal(keepThreshold(scores, byShare, keep), scores[6]);
  });

  it('tells reasoning from answer, in unfinished texts too', () => {
    assert.equal(reasoningOf('<think>So it is.</think>\n<answer>red</answer>'), 'So it is.');
    assert.equal(reasoningOf('<think>half a tho'), 'half a tho');
    assert.equal(reasoningOf('<think>x</think><answer>re'), 'x');
    assert.equal(reasoningOf('<b>not markup</b>'), '<b>not markup</b>');
  });
});

describe('live prediction', () => {
  const run = record(1, { solvability: 0.6 }).result;

  it('is exactly what the engine would have counted for the same run', () => {
    const { settings, visual, compute } = run;
    // The policy runs 5 at p̂ = 0.6; three were asked here, so fix K at what was run.
    const asRun = { ...settings, rollouts: { mode: 'fixed', k: 3 } as const };
    const prediction = predictRun(run, compute, asRun, visual.keep, modelInfo)!;
    assert.equal(prediction.kept, visual.kept);
    assert.deepEqual(prediction.compute, compute);
  });

  it('follows the levers', () => {
    const settings = settingsWith({
      prune: { mode: 'fixed', ratio: 0.75 },
      rollouts: { mode: 'adaptive', cap: 4 },
    });
    const keep = keepVisualTokens(scores, settings.prune);
    const prediction = predictRun(run, run.compute, settings, keep, modelInfo)!;
    assert.equal(prediction.kept, 3);
    assert.deepEqual(prediction.rollouts, { k: 4, atMost: false });
    const expected = computeCost({
      cost: modelInfo.cost,
      visionFlops: 1e6,
      textTokens: 20,
      visualTokens: 12,
      keptTokens: 3,
      rolloutTokens: [10, 11, 12, 11], // three lengths known, the fourth is their mean
      vanillaAnswerTokens: { tokens: 11, source: 'estimated' },
    });
    assert.deepEqual(prediction.compute, expected);
  });

  it('measures against a vanilla that was run', () => {
    const measured = { ...run.compute, vanillaSource: 'measured' as const };
    measured.vanilla = { ...measured.vanilla, decode: measured.vanilla.decode * 2 };
    const { settings, visual } = run;
    const prediction = predictRun(run, measured, settings, visual.keep, modelInfo)!;
    assert.deepEqual(prediction.compute!.vanilla, measured.vanilla);
    assert.equal(prediction.compute!.vanillaSource, 'measured');
  });

  it('has no cost without a model, and no K before the first run', () => {
    const prediction = predictRun(run, run.compute, run.settings, run.visual.keep, null)!;
    assert.equal(prediction.compute, null);
    assert.equal(predictRollouts(null, { mode: 'adaptive', cap: 7 }, []), null);
  });

  it('says that K depends on the votes where there is no predictor', () => {
    const { difficulty } = record(1, { solvability: null }).result;
    assert.deepEqual(predictRollouts(difficulty, { mode: 'adaptive', cap: 2 }, []), {
      k: 2,
      atMost: true,
    });
  });
});

describe('comparison', () => {
  it('marks which run kept which token', () => {
    const first = { ...record(1).result.visual, total: 4, keep: [0, 1] };
    const second = { ...first, keep: [1, 2] };
    assert.deepEqual(compareKept(first, second), ['onlyFirst', 'both', 'onlySecond', 'neither']);
    assert.equal(compareKept(first, { ...second, total: 5 }), null);
    assert.deepEqual(fatesOfKeep(3, [1]), ['neither', 'both', 'neither']);
  });

  it('writes runs as people read them', () => {
    const run = record(1, { answers: [null, null] });
    const row = describeRun(run, run.result.compute);
    assert.equal(row.answer, 'none');
    assert.equal(row.agreement, '0/2');
    assert.equal(row.time, '12 ms'); // without 100 ms of loading
    const rows = new Map(comparisonRows(run, run.result.compute));
    assert.equal(rows.get('pruning'), 'τ 45°');
    assert.equal(rows.get('rollouts'), 'K 2, cap 7');
  });
});

describe('entered numbers', () => {
  const whole = { min: 1, max: 16, step: 1 };
  it('are brought into range', () => {
    assert.equal(nearestValid(99, whole, 3), 16);
    assert.equal(nearestValid(-2, whole, 3), 1);
    assert.equal(nearestValid(4.6, whole, 3), 5);
    assert.equal(nearestValid(NaN, whole, 3), 3);
    assert.equal(nearestValid(0.123, { min: 0, max: 1, step: 0.01 }, 0), 0.123);
  });
});
