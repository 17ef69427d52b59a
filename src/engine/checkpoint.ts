import { stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { AvisError } from '../shared/errors';
import type { GraphFile, GraphName } from './graphFiles';
import { ConfigReader, type JsonObject, readJson, readText } from './json';
import { type Policy, readPolicy } from './policyFile';
import { TextCodec } from './textCodec';

/** A Hugging Face ONNX folder, read and checked; nothing of onnxruntime is loaded yet. */
export interface Checkpoint {
  folder: string;
  /** For people. */
  name: string;
  /** `model_type` of config.json. */
  modelType: string;
  config: ConfigReader;
  preprocessor: ConfigReader;
  /** Any of these ends an answer. */
  endTokenIds: number[];
  /** 1 = none; applied to the logits of tokens already seen, as transformers does. */
  repetitionPenalty: number;
  codec: TextCodec;
  policy: Policy | null;
  /** avis/difficulty_predictor.onnx, where there is one. */
  predictorPath: string | null;
}

const predictorFile = 'avis/difficulty_predictor.onnx';

/** Files beside the graphs that determine the answers. */
const configFiles = [
  'config.json',
  'generation_config.json',
  'preprocessor_config.json',
  'processor_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'chat_template.jinja',
  'chat_template.json',
  'avis/policy.json',
  predictorFile,
];

/** @throws {AvisError} 'badModel' naming the file that is missing or broken. */
export async function readCheckpoint(folder: string): Promise<Checkpoint> {
  const info = await stat(folder).catch(() => null);
  if (!info?.isDirectory()) {
    throw new AvisError(
      'badModel',
      `There is no checkpoint folder ${folder}. Choose a folder with config.json and onnx/.`,
    );
  }
  // One after the other, so that of several missing files the first is named.
  const config = await requireJson(folder, 'config.json');
  const generation = await readJson(folder, 'generation_config.json');
  const preprocessor = await readPreprocessor(folder);
  const tokenizer = await requireJson(folder, 'tokenizer.json');
  const tokenizerConfig = await requireJson(folder, 'tokenizer_config.json');
  const policy = await readPolicy(folder);
  const configReader = new ConfigReader(config, 'config.json');
  const codec = new TextCodec(
    tokenizer,
    tokenizerConfig,
    await readChatTemplate(folder, tokenizerConfig),
  );
  return {
    folder,
    name: policy?.name ?? basename(folder),
    modelType: configReader.string('model_type'),
    config: configReader,
    preprocessor: new ConfigReader(preprocessor, 'preprocessor_config.json'),
    endTokenIds: endTokenIds(generation, configReader),
    repetitionPenalty: new ConfigReader(generation ?? {}, 'generation_config.json').numberWithin(
      'repetition_penalty',
      { min: 0.1, max: 10 },
      1,
    ),
    codec,
    policy,
    predictorPath: (await exists(folder, predictorFile)) ? join(folder, predictorFile) : null,
  };
}

/** Paths, relative to the folder, of everything that determines the answers. */
export async function answerFiles(
  folder: string,
  graphs: Record<GraphName, GraphFile>,
): Promise<string[]> {
  const present = await Promise.all(configFiles.map((file) => exists(folder, file)));
  const configs = configFiles.filter((_, i) => present[i]);
  return [...configs, ...Object.values(graphs).flatMap(({ files }) => files)];
}

async function requireJson(folder: string, file: string): Promise<JsonObject> {
  const value = await readJson(folder, file);
  if (value) return value;
  throw new AvisError(
    'badModel',
    `The checkpoint ${folder} has no ${file}. It needs the layout of the Hugging Face ONNX exports.`,
  );
}

/** transformers 5 nests the image processor in processor_config.json. */
async function readPreprocessor(folder: string): Promise<JsonObject> {
  const own = await readJson(folder, 'preprocessor_config.json');
  if (own) return own;
  const processor = await readJson(folder, 'processor_config.json');
  const nested = processor?.['image_processor'];
  if (nested && typeof nested === 'object') return nested as JsonObject;
  throw new AvisError(
    'badModel',
    `The checkpoint ${folder} has no preprocessor_config.json (nor a processor_config.json with an image_processor).`,
  );
}

async function readChatTemplate(folder: string, tokenizerConfig: JsonObject): Promise<string> {
  const jinja = await readText(folder, 'chat_template.jinja');
  if (jinja !== null) return jinja;
  const json = await readJson(folder, 'chat_template.json');
  const template = json?.['chat_template'] ?? tokenizerConfig['chat_template'];
  if (typeof template === 'string') return template;
  throw new AvisError(
    'badModel',
    `The checkpoint ${folder} has no chat template (chat_template.jinja, chat_template.json, or in tokenizer_config.json). Is it an instruction-tuned model?`,
  );
}

function endTokenIds(generation: JsonObject | null, config: ConfigReader): number[] {
  if (generation?.['eos_token_id'] !== undefined) {
    return new ConfigReader(generation, 'generation_config.json').numbers('eos_token_id');
  }
  const text = config.has('eos_token_id') ? config : config.section('text_config');
  return text.numbers('eos_token_id');
}

async function exists(folder: string, file: string): Promise<boolean> {
  return (await stat(join(folder, file)).catch(() => null))?.isFile() ?? false;
}
