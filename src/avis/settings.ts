import type { AskSettings, ModelInfo } from '../shared/types';

/** Inclusive bounds of every number a person can set. */
export const settingRanges = {
  tauDegrees: { min: 0, max: 90 },
  ratio: { min: 0, max: 0.99 },
  cap: { min: 1, max: 16 },
  k: { min: 1, max: 16 },
  confidence: { min: 0.5, max: 0.999 },
  temperature: { min: 0.01, max: 2 },
  topP: { min: 0.01, max: 1 },
  seed: { min: 0, max: 2 ** 32 - 1 },
  maxNewTokens: { min: 1, max: 16_384 },
} as const;

/** The paper's settings, or those that the checkpoint was calibrated for. */
export function defaultSettings(policy: ModelInfo['policy']): AskSettings {
  return {
    prune: { mode: 'adaptive', tauDegrees: policy?.tauDegrees ?? 45 },
    rollouts: { mode: 'adaptive', cap: 7 },
    confidence: 0.95, // as Adaptive-Consistency (Aggarwal et al. 2023)
    temperature: policy?.temperature ?? 0.7,
    topP: policy?.topP ?? 0.9,
    seed: 0,
    maxNewTokens: policy?.maxNewTokens ?? 2048,
    thinking: true,
    earlyStop: true,
  };
}

/** The same query without AVIS: every visual token, one greedy rollout. */
export function vanillaSettings(settings: AskSettings): AskSettings {
  return {
    ...settings,
    prune: { mode: 'fixed', ratio: 0 },
    rollouts: { mode: 'fixed', k: 1 },
  };
}
