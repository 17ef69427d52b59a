import { computeCost } from '../../../src/avis/compute';
import { keepVisualTokens } from '../../../src/avis/kdv';
import { defaultBins } from '../../../src/avis/policy';
import { defaultSettings } from '../../../src/avis/settings';
import { tallyVotes } from '../../../src/avis/vote';
import type { HostMessage, RunRecord } from '../../../src/shared/panelProtocol';
import type {
  AskSettings,
  CostModel,
  ModelInfo,
  RolloutResult,
  RunResult,
} from '../../../src/shared/types';

export const cost: CostModel = {
  hiddenSize: 64,
  layers: 2,
  heads: 4,
  kvHeads: 2,
  headDim: 16,
  intermediateSize: 128,
  vocabularySize: 500,
  kvElementBytes: 4,
};

export const modelInfo: ModelInfo = {
  name: 'tiny',
  folder: '/models/tiny',
  family: 'qwen2_5_vl',
  parameters: 1000,
  dtypes: {},
  fileHashes: {},
  scoreSource: 'visionKeys',
  warnings: [],
  policy: {
    bins: defaultBins,
    tauDegrees: 45,
    temperature: 0.7,
    topP: 0.9,
    maxNewTokens: 64,
  },
  hasPredictor: true,
  cost,
  device: { device: 'cpu', rejected: [] },
  loadMs: 10,
};

export function settingsWith(part: Partial<AskSettings> = {}): AskSettings {
  return { ...defaultSettings(modelInfo.policy), ...part };
}

/** Twelve visual tokens in 3 × 4, scores −0.95, −0.9, … −0.4. */
export const scores = Array.from({ length: 12 }, (_, token) => (token * 5 - 95) / 100);

export function record(
  id: number,
  part: {
    settings?: AskSettings;
    answers?: (string | null)[];
    stopped?: RolloutResult['stopped'];
    purpose?: RunRecord['purpose'];
    solvability?: number | null;
    question?: string;
  } = {},
): RunRecord {
  const settings = part.settings ?? settingsWith();
  const answers = part.answers ?? ['red', 'red', 'blue'];
  const keep = keepVisualTokens(scores, settings.prune);
  const rollouts = answers.map((answer, index): RolloutResult => {
    const text = answer === null ? 'hm' : `<think>so</think><answer>${answer}</answer>`;
    const stopped = answer === null ? (part.stopped ?? 'maxNewTokens') : 'endOfTurn';
    return { index, text, answer, tokens: 10 + index, elapsedMs: 5, stopped };
  });
  const { solvability = 0.6 } = part;
  const result: RunResult = {
    image: { width: 40, height: 30 },
    question: part.question ?? 'What colour?',
    settings,
    visual: {
      regions: [
        {
          kind: 'image',
          rows: 3,
          columns: 4,
          firstToken: 0,
          left: 0,
          top: 0,
          width: 1,
          height: 1,
        },
      ],
      total: 12,
      kept: keep.length,
      pruneRatio: 1 - keep.length / 12,
      scores,
      keep,
      scoreSource: 'visionKeys',
    },
    difficulty: {
      source: solvability === null ? 'betaStopping' : 'predictor',
      solvability,
      wanted: answers.length,
      k: answers.length,
      cap: 7,
    },
    rollouts,
    vote: tallyVotes(answers),
    compute: computeCost({
      cost,
      visionFlops: 1e6,
      textTokens: 20,
      visualTokens: 12,
      keptTokens: keep.length,
      rolloutTokens: rollouts.map(({ tokens }) => tokens),
      vanillaAnswerTokens: { tokens: 11, source: 'estimated' },
    }),
    timing: {
      load: 100,
      decodeImage: 1,
      vision: 2,
      kdv: 1,
      predictor: 1,
      prefill: 2,
      rollouts: 5,
      total: 112,
      cached: [],
    },
    model: { name: 'tiny', family: 'qwen2_5_vl', device: 'cpu' },
  };
  return { id, purpose: part.purpose ?? 'run', startedAt: 1000 + id, result };
}

export function subject(
  part: Partial<Extract<HostMessage, { type: 'showSubject' }>> = {},
): Extract<HostMessage, { type: 'showSubject' }> {
  return {
    type: 'showSubject',
    image: { uri: 'file:///a.png', webviewSrc: 'https://a', name: 'a.png' },
    question: 'What colour?',
    recentQuestions: [],
    settings: settingsWith(),
    runs: [],
    view: null,
    model: { status: 'ready', model: modelInfo, stopping: false },
    autoRun: true,
    ...part,
  };
}
