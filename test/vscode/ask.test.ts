import assert from 'node:assert/strict';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { AvisApi } from '../../src/host/avisApi';
import {
  closePanels,
  extension,
  inWorkspace,
  panelTabs,
  quickSettings,
  samples,
} from './extension';
import { reportFigure } from './report';

describe('asking', () => {
  let api: AvisApi;
  const { file, question } = samples()[0]!;
  const image = inWorkspace(file);

  before(async () => {
    api = await extension.activate();
  });
  after(closePanels);

  it('answers from a cold engine, and leaves the extension host responsive', async () => {
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    const startedAt = performance.now();
    const result = await api.askImage(image, question, quickSettings);
    const elapsedMs = performance.now() - startedAt;
    delay.disable();
    reportFigure('first answer, cold engine', Math.round(elapsedMs), 'ms');
    reportFigure('longest block of the event loop', Math.round(delay.max / 1e5) / 10, 'ms');

    const { visual, rollouts, vote, difficulty } = result;
    assert.equal(result.question, question);
    assert.equal(visual.scores.length, visual.total);
    assert.equal(visual.keep.length, visual.kept);
    assert.equal(visual.kept, Math.floor(visual.total * 0.5));
    assert.equal(rollouts.length, 3);
    assert.equal(difficulty.k, 3);
    const voters = vote.counts.flatMap((count) => count.rollouts);
    assert.deepEqual(
      [...voters, ...vote.abstentions].sort((a, b) => a - b),
      [0, 1, 2],
    );
    assert.equal(api.engine.state.status, 'ready');
    assert.equal(api.runs(image).length, 1);
    assert.equal(panelTabs().length, 1);
  });

  it('gives the same rollouts for the same seed', async () => {
    const first = api.runs(image)[0]!.result;
    const again = await api.askImage(image, question, quickSettings);
    assert.deepEqual(
      again.rollouts.map(({ text }) => text),
      first.rollouts.map(({ text }) => text),
    );
  });

  it('only decodes when K changes, and never encodes again when ρ changes', async () => {
    const moreRollouts = await api.askImage(image, question, {
      ...quickSettings,
      rollouts: { mode: 'fixed', k: 4 },
    });
    assert.deepEqual([...moreRollouts.timing.cached].sort(), ['prefill', 'vision']);
    const pruned = await api.askImage(image, question, {
      ...quickSettings,
      prune: { mode: 'fixed', ratio: 0.9 },
    });
    assert.deepEqual(pruned.timing.cached, ['vision']);
    assert.ok(pruned.visual.kept < moreRollouts.visual.kept);
    assert.deepEqual(pruned.visual.scores, moreRollouts.visual.scores);
  });

  it('measures vanilla on demand', async () => {
    const vanilla = await api.askImage(image, question, quickSettings, 'vanilla');
    assert.equal(vanilla.visual.kept, vanilla.visual.total);
    assert.equal(vanilla.rollouts.length, 1);
    assert.equal(api.runs(image).at(-1)?.purpose, 'vanilla');
  });

  it('follows the model’s own policy where nothing is set', async () => {
    const other = samples()[1]!;
    const result = await api.askImage(inWorkspace(other.file), other.question);
    assert.equal(result.settings.prune.mode, 'adaptive');
    assert.equal(result.settings.rollouts.mode, 'adaptive');
    assert.ok(result.difficulty.k >= 1 && result.difficulty.k <= 7);
  });

  it('answers two panels that ask at once', async () => {
    const [first, second] = samples().slice(2, 4);
    const results = await Promise.all(
      [first!, second!].map((sample) =>
        api.askImage(inWorkspace(sample.file), sample.question, quickSettings),
      ),
    );
    assert.deepEqual(
      results.map((result) => result.question),
      [first!.question, second!.question],
    );
    for (const sample of [first!, second!]) {
      assert.equal(api.runs(inWorkspace(sample.file)).length, 1);
    }
  });
});
