/**
 * `*.avis.json`: the settings of one run, the model they were tuned on, and what was measured. The
 * published JSON schema (media/avis-config.schema.json) is generated from `configSchema`.
 */
import * as z from 'zod';
import { AvisError } from '../shared/errors';
import type { ModelInfo, RunResult } from '../shared/types';
import { describeIssue, settingsSchema } from './settingsSchema';
import { countAbstentions } from './vote';

const count = z.int().min(0);
const amount = z.number().min(0);

const stageFlopsSchema = z.strictObject({ vision: amount, prefill: amount, decode: amount });

export const configSchema = z
  .strictObject({
    $schema: z.string().optional(),
    schemaVersion: z.literal(1).describe('Version of this file format.'),
    model: z
      .strictObject({
        name: z.string().describe('Folder name or Hugging Face id.'),
        family: z.string().describe('model_type of config.json.'),
        dtypes: z.record(z.string(), z.string()).describe('The dtype variant of each graph.'),
        fileHashes: z
          .record(z.string(), z.string().regex(/^[0-9a-f]{64}$/))
          .describe('SHA-256 of the files that determine the answers.'),
      })
      .describe('The checkpoint that the settings were tuned on.'),
    settings: settingsSchema.describe('The lever settings.'),
    policy: z
      .strictObject({
        bins: z
          .array(z.strictObject({ upTo: z.number().min(0).max(1), k: z.int().min(1).max(16) }))
          .min(1)
          .describe('K by predicted solvability: a bin holds up to and including upTo.'),
      })
      .nullable()
      .describe("The checkpoint's calibrated policy; null where it ships none."),
    evidence: z
      .strictObject({
        question: z.string(),
        image: z.strictObject({ widthPx: count, heightPx: count }),
        device: z.string(),
        answer: z.string().nullable(),
        votes: z.array(z.strictObject({ answer: z.string(), rollouts: count })),
        abstentions: count,
        visualTokens: z.strictObject({ total: count, kept: count, pruneRatio: amount.max(1) }),
        solvability: z.number().min(0).max(1).nullable(),
        rollouts: z.strictObject({ wanted: count, k: count, tokens: z.array(count) }),
        flops: z.strictObject({
          run: stageFlopsSchema,
          vanilla: stageFlopsSchema,
          vanillaSource: z.enum(['estimated', 'measured']),
        }),
        saved: z.number().describe('1 − run/vanilla without the vision encoder.'),
        savedWithVision: z.number().describe('The same with the vision encoder in both.'),
        kvBytes: count,
        vanillaKvBytes: count,
        elapsedMs: z.strictObject({
          decodeImage: amount,
          vision: amount,
          kdv: amount,
          predictor: amount,
          prefill: amount,
          rollouts: amount,
          total: amount,
        }),
        cachedStages: z.array(z.enum(['vision', 'prefill'])),
      })
      .describe('What was measured in the run that was exported.'),
  })
  .meta({
    title: 'AVIS configuration',
    description: 'Inference settings tuned with AVIS, the model they hold for, and the evidence.',
  });

export type AvisConfig = z.infer<typeof configSchema>;

/** The configuration of a finished run, ready for JSON.stringify. */
export function buildConfig(model: ModelInfo, result: RunResult): AvisConfig {
  const { visual, difficulty, vote, compute, timing } = result;
  return {
    schemaVersion: 1,
    model: {
      name: model.name,
      family: model.family,
      dtypes: model.dtypes,
      fileHashes: model.fileHashes,
    },
    settings: result.settings,
    policy: model.policy && { bins: model.policy.bins },
    evidence: {
      question: result.question,
      image: { widthPx: result.image.width, heightPx: result.image.height },
      device: result.model.device,
      answer: vote.answer,
      votes: vote.counts.map(({ answer, rollouts }) => ({ answer, rollouts: rollouts.length })),
      abstentions: countAbstentions(result.rollouts),
      visualTokens: { total: visual.total, kept: visual.kept, pruneRatio: visual.pruneRatio },
      solvability: difficulty.solvability,
      rollouts: {
        wanted: difficulty.wanted,
        k: difficulty.k,
        tokens: result.rollouts.map(({ tokens }) => tokens),
      },
      flops: {
        run: compute.run,
        vanilla: compute.vanilla,
        vanillaSource: compute.vanillaSource,
      },
      saved: compute.saved,
      savedWithVision: compute.savedWithVision,
      kvBytes: compute.kvBytes,
      vanillaKvBytes: compute.vanillaKvBytes,
      elapsedMs: {
        decodeImage: timing.decodeImage,
        vision: timing.vision,
        kdv: timing.kdv,
        predictor: timing.predictor,
        prefill: timing.prefill,
        rollouts: timing.rollouts,
        total: timing.total,
      },
      cachedStages: timing.cached,
    },
  };
}

/**
 * @param fileName for the message
 * @throws {AvisError} 'badInput' with the file, the JSON path and the reason.
 */
export function parseConfig(text: string, fileName: string): AvisConfig {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new AvisError('badInput', `${fileName} isn't JSON: ${(error as Error).message}.`, {
      cause: error,
    });
  }
  const checked = configSchema.safeParse(json, { reportInput: true });
  if (checked.success) return checked.data;
  const issue = describeIssue(checked.error.issues[0]!, '$');
  throw new AvisError('badInput', `${fileName} isn't an AVIS configuration: ${issue}`);
}

/**
 * The same settings as flags of the reference's demo.py (github SamsungLabs/avis). What it has no flag
 * for follows as a shell comment. Its --kdv-ratio is the share pruned; adaptive ρ and adaptive K come
 * there only together, by --enable-policy, so that elsewhere this run's measured ρ or K stands in.
 */
export function toReferenceFlags(config: AvisConfig): string {
  const { settings, evidence } = config;
  const { prune, rollouts } = settings;
  const flags: string[] = [];
  const unsupported: string[] = [];

  if (prune.mode === 'adaptive' && rollouts.mode === 'adaptive') {
    flags.push('--enable-kdv', '--enable-policy', '--policy-path ./policy_checkpoint.pt');
    if (prune.tauDegrees !== 45) unsupported.push(`tau ${prune.tauDegrees} degrees (fixed at 45)`);
    if (rollouts.cap < 7) unsupported.push(`at most ${rollouts.cap} rollouts`);
  } else {
    const ratio = prune.mode === 'fixed' ? prune.ratio : evidence.visualTokens.pruneRatio;
    const k = rollouts.mode === 'fixed' ? rollouts.k : evidence.rollouts.k;
    if (ratio > 0) flags.push('--enable-kdv', `--kdv-ratio ${Number(ratio.toFixed(4))}`);
    flags.push(`--num-rollouts ${k}`);
    if (prune.mode === 'adaptive') unsupported.push("adaptive rho (this run's stands in)");
    if (rollouts.mode === 'adaptive') unsupported.push("adaptive K (this run's stands in)");
  }
  flags.push(`--max-new-tokens ${settings.maxNewTokens}`);
  if (!settings.thinking) flags.push('--no-enable-thinking');

  if (settings.temperature !== 0.7) {
    unsupported.push(`temperature ${settings.temperature} (fixed at 0.7)`);
  }
  if (settings.topP !== 0.9) unsupported.push(`top-p ${settings.topP} (fixed at 0.9)`);
  unsupported.push(`seed ${settings.seed}`);
  return `${flags.join(' ')}  # no flag for: ${unsupported.join(', ')}`;
}
