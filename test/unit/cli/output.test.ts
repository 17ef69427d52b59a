import assert from 'node:assert/strict';
import { toOutput } from '../../../src/cli/output';
import { sampleModel, sampleResult } from '../avis/sampleRun';

const timing = { loadMs: 100, totalMs: 250 };

/** Every key of nested objects, with arrays and what is keyed by data left whole. */
function shapeOf(value: unknown, path = ''): string[] {
  const whole = ['votes', 'settings', 'model.dtypes', 'model.fileHashes'];
  if (typeof value !== 'object' || value === null || Array.isArray(value) || whole.includes(path)) {
    return [path];
  }
  return Object.entries(value).flatMap(([key, entry]) =>
    shapeOf(entry, path === '' ? key : `${path}.${key}`),
  );
}

describe('--json', () => {
  const output = toOutput(sampleResult, sampleModel, timing);

  it('has exactly the documented entries', () => {
    assert.deepEqual(shapeOf(JSON.parse(JSON.stringify(output))).sort(), [
      'abstentions',
      'answer',
      'compute.flops.decode',
      'compute.flops.prefill',
      'compute.flops.total',
      'compute.flops.totalWithoutVision',
      'compute.flops.vanilla',
      'compute.flops.vanillaWithoutVision',
      'compute.flops.vision',
      'compute.kvBytes',
      'compute.promptTokens.text',
      'compute.promptTokens.visual',
      'compute.saved',
      'compute.savedWithVision',
      'compute.vanillaKvBytes',
      'compute.vanillaSource',
      'device',
      'difficulty.cap',
      'difficulty.k',
      'difficulty.solvability',
      'difficulty.source',
      'difficulty.wanted',
      'image.height',
      'image.width',
      'model.dtypes',
      'model.family',
      'model.fileHashes',
      'model.name',
      'model.parameters',
      'model.warnings',
      'ms.decode',
      'ms.kdv',
      'ms.load',
      'ms.predictor',
      'ms.prefill',
      'ms.rollouts',
      'ms.total',
      'ms.vision',
      'question',
      'rollouts',
      'settings',
      'visual.grid',
      'visual.keep',
      'visual.kept',
      'visual.pruneRatio',
      'visual.regions',
      'visual.scoreSource',
      'visual.scores',
      'visual.total',
      'votes',
    ]);
  });

  it('is consistent with itself', () => {
    const { flops, saved, savedWithVision } = output.compute;
    assert.equal(flops.total, flops.vision + flops.prefill + flops.decode);
    assert.equal(saved, 1 - flops.totalWithoutVision / flops.vanillaWithoutVision);
    assert.equal(savedWithVision, 1 - flops.total / flops.vanilla);
    assert.deepEqual(output.votes, { 4: 2 });
    assert.equal(output.abstentions, 1);
    assert.deepEqual(output.visual.grid, [6, 8]);
    assert.equal(output.ms.load, 100);
    assert.equal(output.ms.total, 250);
  });

  it('counts no rollout that was stopped early as an abstention', () => {
    const [first, , third] = sampleResult.rollouts;
    const stopped = { ...third!, index: 1, stopped: 'earlyStop' as const };
    const rollouts = [first!, stopped, third!];
    const vote = { ...sampleResult.vote, abstentions: [1, 2] };
    assert.equal(toOutput({ ...sampleResult, rollouts, vote }, sampleModel, timing).abstentions, 1);
  });

  it('has rollouts of five entries', () => {
    for (const rollout of output.rollouts) {
      assert.deepEqual(Object.keys(rollout), ['answer', 'text', 'tokens', 'ms', 'stopped']);
    }
  });

  it('has no grid for a tiled image, whose regions it lists', () => {
    const [region] = sampleResult.visual.regions;
    const visual = { ...sampleResult.visual, regions: [region!, region!] };
    const tiled = toOutput({ ...sampleResult, visual }, sampleModel, timing);
    assert.equal(tiled.visual.grid, null);
    assert.equal(tiled.visual.regions.length, 2);
  });
});
