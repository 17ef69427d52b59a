import { countAbstentions } from '../avis/vote';
import type { ModelInfo, RunResult } from '../shared/types';

/** The object that `--json` prints. Milliseconds and floating-point operations throughout. */
export function toOutput(
  result: RunResult,
  model: ModelInfo,
  timing: { loadMs: number; totalMs: number },
) {
  const { visual, difficulty, vote, compute, timing: ms } = result;
  const languageFlops = compute.run.prefill + compute.run.decode;
  const vanillaLanguageFlops = compute.vanilla.prefill + compute.vanilla.decode;
  const [region] = visual.regions;
  return {
    answer: vote.answer,
    question: result.question,
    image: result.image,
    rollouts: result.rollouts.map(({ answer, text, tokens, elapsedMs, stopped }) => ({
      answer,
      text,
      tokens,
      ms: elapsedMs,
      stopped,
    })),
    votes: Object.fromEntries(vote.counts.map(({ answer, rollouts }) => [answer, rollouts.length])),
    abstentions: countAbstentions(result.rollouts),
    visual: {
      total: visual.total,
      kept: visual.kept,
      pruneRatio: visual.pruneRatio,
      /** [rows, columns]; null for a model that cuts the image into tiles, see `regions`. */
      grid: region && visual.regions.length === 1 ? [region.rows, region.columns] : null,
      regions: visual.regions,
      scores: visual.scores,
      keep: visual.keep,
      scoreSource: visual.scoreSource,
      ...(visual.familiarity && { familiarity: visual.familiarity }),
    },
    difficulty,
    compute: {
      flops: {
        ...compute.run,
        total: compute.run.vision + languageFlops,
        vanilla: compute.vanilla.vision + vanillaLanguageFlops,
        totalWithoutVision: languageFlops,
        vanillaWithoutVision: vanillaLanguageFlops,
      },
      vanillaSource: compute.vanillaSource,
      /** 1 − totalWithoutVision/vanillaWithoutVision, as the paper counts. */
      saved: compute.saved,
      /** 1 − total/vanilla. */
      savedWithVision: compute.savedWithVision,
      kvBytes: compute.kvBytes,
      vanillaKvBytes: compute.vanillaKvBytes,
      promptTokens: compute.promptTokens,
    },
    ms: {
      load: timing.loadMs,
      decode: ms.decodeImage,
      vision: ms.vision,
      kdv: ms.kdv,
      predictor: ms.predictor,
      prefill: ms.prefill,
      rollouts: ms.rollouts,
      total: timing.totalMs,
    },
    settings: result.settings,
    model: {
      name: model.name,
      family: model.family,
      parameters: model.parameters,
      dtypes: model.dtypes,
      fileHashes: model.fileHashes,
      warnings: model.warnings,
    },
    device: model.device.device,
  };
}
