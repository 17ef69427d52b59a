import { deepStrictEqual, ok, rejects, strictEqual } from 'node:assert/strict';
import { Tensor } from 'onnxruntime-node';
import { DifficultyPredictor } from '../../../src/engine/predictor';
import type { GraphSession, TensorSpec } from '../../../src/engine/session';
import { familiarityOf, type VisualFeatures } from '../../../src/engine/vision';

/** Two visual tokens of three values. */
const visual: VisualFeatures = {
  features: Float32Array.of(1, 2, 3, 5, 6, 7),
  hiddenSize: 3,
  scores: new Float32Array(2),
  scoreSource: 'visionKeys',
};

/** A graph that notes what it is fed and answers `solvability`. */
function graphOf(inputs: string[], solvability: number) {
  const seen: Record<string, Tensor> = {};
  const specs = inputs.map((name): [string, TensorSpec] => [
    name,
    { name, type: 'float32', shape: [] },
  ]);
  const graph = {
    label: 'The difficulty predictor',
    inputs: new Map(specs),
    run: async (feeds: Record<string, Tensor>) => {
      Object.assign(seen, feeds);
      return { solvability: new Tensor('float32', Float32Array.of(solvability), [1]) };
    },
  } as unknown as GraphSession;
  return { graph, seen };
}

describe('difficulty predictor', () => {
  it('is given the features and the mean embedding of the question', async () => {
    const { graph, seen } = graphOf(['image_features', 'question_embedding'], 0.25);
    const predictor = new DifficultyPredictor(graph);
    ok(predictor.wantsQuestion);
    strictEqual(await predictor.predict(visual, Float32Array.of(1, 2, 3, 3, 6, 9)), 0.25);
    deepStrictEqual(seen['image_features']!.dims, [2, 3]);
    deepStrictEqual(seen['question_embedding']!.dims, [3]);
    deepStrictEqual([...(seen['question_embedding']!.data as Float32Array)], [2, 4, 6]);
  });

  it('is given the features alone where it takes no question', async () => {
    const { graph, seen } = graphOf(['image_features'], 1);
    const predictor = new DifficultyPredictor(graph);
    strictEqual(predictor.wantsQuestion, false);
    strictEqual(await predictor.predict(visual, new Float32Array(0)), 1);
    deepStrictEqual(Object.keys(seen), ['image_features']);
  });

  it('is refused when it predicts no probability', async () => {
    for (const wrong of [NaN, -0.1, 1.1]) {
      const { graph } = graphOf(['image_features'], wrong);
      await rejects(new DifficultyPredictor(graph).predict(visual, new Float32Array(0)), {
        code: 'badModel',
        message: /^The difficulty predictor predicted .* no probability/,
      });
    }
  });
});

describe('familiarity', () => {
  it('is the distance of the mean feature in spreads', () => {
    // The means are 3, 4, 5: one, two and no spread away. √((1 + 4 + 0) / 3).
    const statistics = { mean: [2, 2, 5], spread: [1, 1, 4], threshold: 1.2 };
    const found = familiarityOf(visual, statistics)!;
    ok(Math.abs(found.distance - Math.sqrt(5 / 3)) < 1e-12);
    strictEqual(found.unfamiliar, true);
    strictEqual(familiarityOf(visual, { ...statistics, threshold: 1.3 })!.unfamiliar, false);
  });

  it('is not told without statistics', () => {
    strictEqual(familiarityOf(visual, null), undefined);
  });
});
