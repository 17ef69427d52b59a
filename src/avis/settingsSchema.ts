import * as z from 'zod';
import { AvisError } from '../shared/errors';
import type { AskSettings } from '../shared/types';
import { settingRanges } from './settings';

/** The schema of `AskSettings`. The ranges are those of settings.ts. */
export const settingsSchema = z.strictObject({
  prune: z
    .discriminatedUnion('mode', [
      z.strictObject({
        mode: z.literal('adaptive'),
        tauDegrees: numberWithin('tauDegrees').describe(
          'Tokens whose key-diversity score is below −cos(τ) are pruned; τ in degrees.',
        ),
      }),
      z.strictObject({
        mode: z.literal('fixed'),
        ratio: numberWithin('ratio').describe('ρ, the share of visual tokens that is pruned.'),
      }),
    ])
    .describe('How visual tokens are pruned before prefill.'),
  rollouts: z
    .discriminatedUnion('mode', [
      z.strictObject({
        mode: z.literal('adaptive'),
        cap: integerWithin('cap').describe('The most rollouts that the policy may choose.'),
      }),
      z.strictObject({
        mode: z.literal('fixed'),
        k: integerWithin('k').describe('K, the number of rollouts.'),
      }),
    ])
    .describe('How many rollouts are sampled and voted on; a single one is decoded greedily.'),
  confidence: numberWithin('confidence').describe(
    'Without a difficulty predictor, adaptive rollouts end when the Beta rule is this sure of the majority.',
  ),
  temperature: numberWithin('temperature').describe('Sampling temperature where K > 1.'),
  topP: numberWithin('topP').describe('Nucleus sampling mass where K > 1.'),
  seed: integerWithin('seed').describe('Seed of the rollouts, an unsigned 32-bit number.'),
  maxNewTokens: integerWithin('maxNewTokens').describe('The most tokens of one rollout.'),
  thinking: z.boolean().describe('Ask for the thinking process before the answer.'),
  earlyStop: z
    .boolean()
    .describe('Stop running rollouts once none of their outcomes could change the majority.'),
});

/**
 * @throws {AvisError} 'badInput', naming the setting, its value and what it may be.
 */
export function checkSettings(settings: unknown): AskSettings {
  const checked = settingsSchema.safeParse(settings, { reportInput: true });
  if (checked.success) return checked.data;
  throw new AvisError('badInput', describeIssue(checked.error.issues[0]!, 'settings'));
}

/** One sentence for a schema issue: "settings.prune.ratio is 1.5: it must be …". */
export function describeIssue(issue: z.core.$ZodIssue, root: string): string {
  const path = [root, ...issue.path.map(String)].join('.');
  if (issue.code === 'unrecognized_keys') {
    return `${path} has an unknown entry ${issue.keys.map((key) => `"${key}"`).join(', ')}.`;
  }
  // A wrong discriminator is reported with the whole object as its input.
  const input =
    issue.code === 'invalid_union' && issue.discriminator !== undefined
      ? (issue.input as Record<string, unknown>)[issue.discriminator]
      : issue.input;
  if (input === undefined) return `${path} is missing.`;
  const value = typeof input === 'number' ? String(input) : JSON.stringify(input);
  const shown = value.length > 60 ? `${value.slice(0, 60)}…` : value;
  const reason = issue.message.replace(/^Invalid (input|discriminator value)[:.] (?=.)/, '');
  return `${path} is ${shown}: ${reason}.`;
}

function numberWithin(name: keyof typeof settingRanges) {
  const { min, max } = settingRanges[name];
  const error = `it must be a number from ${min} to ${max}`;
  return z.number({ error }).min(min, { error }).max(max, { error });
}

function integerWithin(name: keyof typeof settingRanges) {
  const { min, max } = settingRanges[name];
  const error = `it must be a whole number from ${min} to ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
}
