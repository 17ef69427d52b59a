import { AvisError } from '../shared/errors';
import type { GraphSession } from './session';
import { floatTensor, floatValues } from './tensors';
import type { VisualFeatures } from './vision';

/** The difficulty predictor: p̂, the estimated chance that a sampled rollout is right (avis.md §2). */
export class DifficultyPredictor {
  constructor(private readonly graph: GraphSession) {}

  get wantsQuestion(): boolean {
    return this.graph.inputs.has('question_embedding');
  }

  /**
   * @param questionEmbeddings [tokens, hidden] of the question's text; their mean is the input
   * @returns p̂ ∈ [0, 1]
   */
  async predict(visual: VisualFeatures, questionEmbeddings: Float32Array): Promise<number> {
    const { features, hiddenSize } = visual;
    const imageSpec = this.graph.inputs.get('image_features');
    if (!imageSpec) {
      throw new AvisError('badModel', `${this.graph.label} has no input named image_features.`);
    }
    const feeds = {
      image_features: floatTensor(imageSpec, features, [features.length / hiddenSize, hiddenSize]),
    };
    const questionSpec = this.graph.inputs.get('question_embedding');
    if (questionSpec) {
      Object.assign(feeds, {
        question_embedding: floatTensor(questionSpec, meanRow(questionEmbeddings, hiddenSize), [
          hiddenSize,
        ]),
      });
    }
    const outputs = await this.graph.run(feeds);
    const solvability = floatValues(outputs['solvability'] ?? Object.values(outputs)[0]!)[0]!;
    if (!(solvability >= 0 && solvability <= 1)) {
      throw new AvisError(
        'badModel',
        `${this.graph.label} predicted ${solvability}, which is no probability.`,
      );
    }
    return solvability;
  }
}

function meanRow(rows: Float32Array, width: number): Float32Array {
  const mean = new Float32Array(width);
  for (let i = 0; i < rows.length; i++) mean[i % width]! += rows[i]!;
  const count = Math.max(rows.length / width, 1);
  return mean.map((sum) => sum / count);
}
