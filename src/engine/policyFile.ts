import { settingRanges } from '../avis/settings';
import { AvisError } from '../shared/errors';
import type { ModelInfo, PolicyBin } from '../shared/types';
import { ConfigReader, isObject, type JsonObject, readJson } from './json';

/** avis/policy.json: what was calibrated for a checkpoint. */
export interface Policy {
  /** What the checkpoint calls itself; null leaves it to its folder. */
  name: string | null;
  settings: NonNullable<ModelInfo['policy']>;
  /** Appended to the question. */
  prompt: { think: string; direct: string };
  /** Of the pooled visual features of training pictures; see vision.ts. */
  familiarity: { mean: number[]; spread: number[]; threshold: number } | null;
}

const policyFile = 'avis/policy.json';

/** The paper's suffix, for checkpoints that ship none (avis.md §2). */
export const paperPrompt = {
  think:
    ' First output the thinking process in <think> </think> tags and then output the final answer in <answer> </answer> tags.',
  direct: ' Output only the final answer in <answer> </answer> tags.',
};

/** @throws {AvisError} 'badModel' naming the key that is wrong. */
export async function readPolicy(folder: string): Promise<Policy | null> {
  const json = await readJson(folder, policyFile);
  if (!json) return null;
  const reader = new ConfigReader(json, policyFile);
  const sampling = reader.section('sampling');
  const prompt = reader.section('prompt');
  return {
    name: reader.has('name') ? reader.string('name') : null,
    settings: {
      bins: readBins(json),
      tauDegrees: reader.section('tau').numberWithin('degrees', settingRanges.tauDegrees, 45),
      temperature: sampling.numberWithin('temperature', settingRanges.temperature, 0.7),
      topP: sampling.numberWithin('topP', settingRanges.topP, 0.9),
      maxNewTokens: reader.numberWithin('maxNewTokens', settingRanges.maxNewTokens, 2048),
    },
    prompt: {
      think: prompt.string('think', paperPrompt.think),
      direct: prompt.string('direct', paperPrompt.direct),
    },
    familiarity: readFamiliarity(reader),
  };
}

function readBins(json: JsonObject): PolicyBin[] {
  const bins: unknown = json['bins'];
  const { min, max } = settingRanges.k;
  const valid =
    Array.isArray(bins) &&
    bins.length > 0 &&
    bins.every(
      (bin, i) =>
        isObject(bin) &&
        typeof bin['upTo'] === 'number' &&
        typeof bin['k'] === 'number' &&
        Number.isInteger(bin['k']) &&
        bin['k'] >= min &&
        bin['k'] <= max &&
        (i === 0 || bin['upTo'] > (bins[i - 1] as PolicyBin).upTo),
    ) &&
    (bins.at(-1) as PolicyBin).upTo >= 1;
  if (valid) return bins as PolicyBin[];
  throw new AvisError(
    'badModel',
    `bins in the checkpoint's ${policyFile} must be a list of {upTo, k} with k from ${min} to ${max} and rising upTo, the last being 1.`,
  );
}

function readFamiliarity(reader: ConfigReader): Policy['familiarity'] {
  if (!reader.has('familiarity')) return null;
  const section = reader.section('familiarity');
  const mean = section.numbers('mean');
  const spread = section.numbers('spread');
  if (mean.length !== spread.length || spread.some((value) => value <= 0)) {
    throw new AvisError(
      'badModel',
      `familiarity in the checkpoint's ${policyFile} needs a mean and a positive spread of equal length.`,
    );
  }
  return { mean, spread, threshold: section.number('threshold') };
}
