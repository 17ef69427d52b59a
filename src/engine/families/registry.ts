import { AvisError } from '../../shared/errors';
import type { Checkpoint } from '../checkpoint';
import type { Family, FamilyFactory } from './family';
import { Idefics3 } from './idefics3';
import { Lfm2Vl } from './lfm2vl';
import { Qwen2Vl } from './qwen2vl';

/** By `model_type` of config.json. */
const factories: Record<string, FamilyFactory> = {
  qwen2_vl: (checkpoint) => new Qwen2Vl(checkpoint),
  qwen2_5_vl: (checkpoint) => new Qwen2Vl(checkpoint),
  qwen3_vl: (checkpoint) => new Qwen2Vl(checkpoint),
  smolvlm: (checkpoint) => new Idefics3(checkpoint),
  idefics3: (checkpoint) => new Idefics3(checkpoint),
  lfm2_vl: (checkpoint) => new Lfm2Vl(checkpoint),
};

/** @throws {AvisError} 'badModel' for an architecture that has no adapter. */
export function createFamily(checkpoint: Checkpoint): Family {
  const { modelType } = checkpoint;
  if (Object.hasOwn(factories, modelType)) return factories[modelType]!(checkpoint);
  throw new AvisError(
    'badModel',
    `${checkpoint.name} is a ${modelType} model, which isn't supported. Supported are ${Object.keys(factories).join(', ')}.`,
  );
}
