/** The vocabulary that the engine, the host, the panel and the command line share. */

/** τ is in degrees (the paper's π/4 is 45°); `ratio` is ρ, the share of visual tokens dropped. */
export type PruneSetting =
  { mode: 'adaptive'; tauDegrees: number } | { mode: 'fixed'; ratio: number };

/** `cap` bounds the K that the policy chooses; `k` fixes it. */
export type RolloutSetting = { mode: 'adaptive'; cap: number } | { mode: 'fixed'; k: number };

/** Everything a person can turn. The same object is exported, imported and passed on the command line. */
export interface AskSettings {
  prune: PruneSetting;
  rollouts: RolloutSetting;
  /** In (½, 1): where the model has no difficulty predictor, how sure the Beta rule must be to stop. */
  confidence: number;
  temperature: number;
  topP: number;
  /** Unsigned 32-bit; the same seed, model and device give the same rollouts. */
  seed: number;
  /** Per rollout. */
  maxNewTokens: number;
  /** Ask for `<think>…</think>` before the answer. */
  thinking: boolean;
  /** Stop the running rollouts once none of their outcomes could change the majority. */
  earlyStop: boolean;
}

/** K ∈ {1, 3, 5, 7} by solvability: a bin holds for p̂ up to and including `upTo`; the last `upTo` is 1. */
export interface PolicyBin {
  upTo: number;
  k: number;
}

/**
 * One rectangle of visual tokens in raster order, and where it lies on the image.
 * Most families have a single 'image' region; tiled models have one per tile and a 'thumbnail'.
 */
export interface VisualRegion {
  kind: 'image' | 'tile' | 'thumbnail';
  rows: number;
  columns: number;
  /** Index of the region's first token among all visual tokens of the image. */
  firstToken: number;
  /** Position on the (orientation-corrected) image, as fractions of its width and height. */
  left: number;
  top: number;
  width: number;
  height: number;
}

/** Where the key-diversity scores come from; `mergedEmbeddings` is KeyDiff, used where no keys can be tapped. */
export type ScoreSource = 'visionKeys' | 'mergedEmbeddings';

export interface VisualResult {
  regions: VisualRegion[];
  total: number;
  kept: number;
  /** 1 − kept/total. */
  pruneRatio: number;
  /** Key-diversity score of each visual token, in [−1, 1]; higher = more diverse = kept. */
  scores: number[];
  /** Ascending indices of the kept visual tokens. */
  keep: number[];
  scoreSource: ScoreSource;
  /** Distance from the pictures the model was trained on, when the checkpoint ships the statistics. */
  familiarity?: { distance: number; threshold: number; unfamiliar: boolean };
}

/**
 * How K came about. `predictor`: p̂ through the policy's bins. `betaStopping`: no predictor for this
 * model, rollouts run until the Beta rule (Aggarwal et al. 2023) is settled. `fixed`: asked for.
 */
export interface DifficultyResult {
  source: 'predictor' | 'betaStopping' | 'fixed';
  /** p̂ ∈ (0, 1); null when there is no predictor. Shown even when K is fixed. */
  solvability: number | null;
  /** K before the cap. */
  wanted: number;
  /** K as run (for betaStopping: as many as were needed). */
  k: number;
  cap: number | null;
}

export interface RolloutResult {
  index: number;
  /** Everything decoded, `<think>` and all, without the end-of-turn token. */
  text: string;
  /** Stripped text inside the last `<answer>…</answer>`; null = abstention. */
  answer: string | null;
  tokens: number;
  elapsedMs: number;
  /** endOfTurn: the model ended. maxNewTokens: cut at the limit. earlyStop: no longer needed for the vote. */
  stopped: 'endOfTurn' | 'maxNewTokens' | 'earlyStop';
}

export interface VoteResult {
  /** The majority answer; null when every rollout abstained. */
  answer: string | null;
  /** Distinct answers, most votes first; equal votes in the order in which the count was first reached. */
  counts: { answer: string; rollouts: number[] }[];
  abstentions: number[];
}

/** Floating-point operations by stage (multiply and add count as two). */
export interface StageFlops {
  vision: number;
  prefill: number;
  decode: number;
}

export interface ComputeResult {
  run: StageFlops;
  /** The same query with ρ = 0, K = 1. */
  vanilla: StageFlops;
  /** `estimated`: vanilla's answer is taken to be as long as this run's mean rollout. `measured`: it was run. */
  vanillaSource: 'estimated' | 'measured';
  /** 1 − run/vanilla without the vision encoder, as the paper counts (avis.md §3). */
  saved: number;
  /** The same with the vision encoder in both. */
  savedWithVision: number;
  /**
   * Bytes of the keys and values that differ: the prompt's once, each rollout's own tokens; and
   * vanilla's. A cache in main memory holds the prompt's again in every rollout's row.
   */
  kvBytes: number;
  vanillaKvBytes: number;
  promptTokens: { text: number; visual: number };
}

/** Wall-clock milliseconds. A stage served from the cache takes 0 and is named in `cached`. */
export interface TimingResult {
  load: number;
  decodeImage: number;
  vision: number;
  kdv: number;
  predictor: number;
  prefill: number;
  rollouts: number;
  total: number;
  cached: ('vision' | 'prefill')[];
}

export type DeviceName = 'cpu' | 'webgpu' | 'cuda' | 'dml' | 'coreml';
export type DeviceSetting = 'auto' | DeviceName;

export interface DeviceReport {
  device: DeviceName;
  /** Every device that was considered and why it was not taken, in the order tried. */
  rejected: { device: DeviceName; reason: string }[];
}

/** What the slider needs to predict cost without inference; see avis/compute.ts. */
export interface CostModel {
  hiddenSize: number;
  layers: number;
  /** Of the layers, those with a short convolution in place of attention (LFM2); none by default. */
  convolutionLayers?: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  intermediateSize: number;
  vocabularySize: number;
  /** Bytes of one KV-cache element. */
  kvElementBytes: number;
}

export interface ModelInfo {
  /** Folder name or Hugging Face id, for people. */
  name: string;
  folder: string;
  /** `model_type` of config.json, e.g. qwen2_5_vl. */
  family: string;
  parameters: number;
  /** The dtype variant of each graph, e.g. { decoder_model_merged: 'q4' }. */
  dtypes: Record<string, string>;
  /** SHA-256 (hex) of the files that determine the answers, by path relative to the folder. */
  fileHashes: Record<string, string>;
  scoreSource: ScoreSource;
  /** Things a person should know, one sentence each (quantized vision tower, no predictor, …). */
  warnings: string[];
  /** Present when the checkpoint ships avis/policy.json. */
  policy: {
    bins: PolicyBin[];
    tauDegrees: number;
    temperature: number;
    topP: number;
    maxNewTokens: number;
  } | null;
  hasPredictor: boolean;
  cost: CostModel;
  device: DeviceReport;
  loadMs: number;
}

export interface RunResult {
  image: { width: number; height: number };
  question: string;
  settings: AskSettings;
  visual: VisualResult;
  difficulty: DifficultyResult;
  rollouts: RolloutResult[];
  vote: VoteResult;
  compute: ComputeResult;
  timing: TimingResult;
  model: { name: string; family: string; device: DeviceName };
}
