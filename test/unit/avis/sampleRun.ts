import { defaultSettings } from '../../../src/avis/settings';
import type { ModelInfo, RunResult } from '../../../src/shared/types';

/** A run made up for tests of what is done with runs. */
export const sampleModel: ModelInfo = {
  name: 'tiny',
  folder: '/somewhere/tiny',
  family: 'qwen2_5_vl',
  parameters: 1000,
  dtypes: { decoder_model_merged: 'q4' },
  fileHashes: { 'config.json': 'a'.repeat(64) },
  scoreSource: 'visionKeys',
  warnings: [],
  policy: {
    bins: [
      { upTo: 0.5, k: 7 },
      { upTo: 1, k: 1 },
    ],
    tauDegrees: 54,
    temperature: 0.7,
    topP: 0.9,
    maxNewTokens: 200,
  },
  hasPredictor: true,
  cost: {
    hiddenSize: 1,
    layers: 1,
    heads: 1,
    kvHeads: 1,
    headDim: 1,
    intermediateSize: 1,
    vocabularySize: 1,
    kvElementBytes: 4,
  },
  device: { device: 'cpu', rejected: [] },
  loadMs: 10,
};

export const sampleResult: RunResult = {
  image: { width: 224, height: 168 },
  question: 'How many stars? 🌟',
  settings: defaultSettings(sampleModel.policy),
  visual: {
    regions: [
      {
        kind: 'image',
        rows: 6,
        columns: 8,
        firstToken: 0,
        left: 0,
        top: 0,
        width: 1,
        height: 1,
      },
    ],
    total: 48,
    kept: 12,
    pruneRatio: 0.75,
    // The lower right quarter is kept; scores rise in raster order.
    scores: Array.from({ length: 48 }, (_, i) => i / 48 - 0.9),
    keep: [28, 29, 30, 31, 36, 37, 38, 39, 44, 45, 46, 47],
    scoreSource: 'visionKeys',
  },
  difficulty: { source: 'predictor', solvability: 0.4, wanted: 7, k: 3, cap: 3 },
  rollouts: [0, 1, 2].map((index) => ({
    index,
    text: '',
    answer: index === 2 ? null : '4',
    tokens: 20 + index,
    elapsedMs: 5,
    stopped: 'endOfTurn',
  })),
  vote: { answer: '4', counts: [{ answer: '4', rollouts: [0, 1] }], abstentions: [2] },
  compute: {
    run: { vision: 1, prefill: 2, decode: 3 },
    vanilla: { vision: 1, prefill: 8, decode: 1 },
    vanillaSource: 'estimated',
    saved: 4 / 9,
    savedWithVision: 0.4,
    kvBytes: 100,
    vanillaKvBytes: 150,
    promptTokens: { text: 20, visual: 12 },
  },
  timing: {
    load: 10,
    decodeImage: 1,
    vision: 0,
    kdv: 0.1,
    predictor: 0.2,
    prefill: 3,
    rollouts: 15,
    total: 20,
    cached: ['vision'],
  },
  model: { name: 'tiny', family: 'qwen2_5_vl', device: 'cpu' },
};
