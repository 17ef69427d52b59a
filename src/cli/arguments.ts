import { parseArgs } from 'node:util';
import { defaultSettings } from '../avis/settings';
import { checkSettings } from '../avis/settingsSchema';
import { AvisError } from '../shared/errors';
import type { AskSettings, DeviceSetting } from '../shared/types';

/**
 * onnxruntime reads its process's command line with a recursive regular expression, which overflows
 * the stack somewhere above 20,000 characters.
 */
const longestQuestionArgument = 8192;

export const usage = `Usage: ask [options] [--] IMAGE QUESTION

  QUESTION may be -, for a question on standard input

  --prune adaptive|0..0.99   visual tokens to drop: by key diversity, or a fixed share ρ
  --tau DEGREES              threshold of adaptive pruning, 0 to 90
  --rollouts adaptive|1..16  answers to sample and vote on: by predicted difficulty, or a fixed K
  --cap K                    the most rollouts that adaptive may choose, 1 to 16
  --confidence C             0.5 to 0.999: where the model has no difficulty predictor, how sure the
                             votes must be before adaptive rollouts end
  --temperature T            0.01 to 2 (K = 1 is always greedy)
  --top-p P                  0.01 to 1
  --seed N                   the same seed, model and device give the same rollouts
  --max-new-tokens N         per rollout, 1 to 16384
  --no-thinking              ask for the answer without the thinking process
  --no-early-stop            let every rollout finish, even when the vote is certain
  --config FILE              settings from an exported *.avis.json; other options override it
  --model DIR                checkpoint folder in the Hugging Face ONNX layout (default: embedded)
  --device D                 auto, cpu, webgpu, cuda, dml or coreml (default: auto)
  --json                     one JSON object on standard output and nothing else
  --help

Exit status: 0 answered, 1 the engine failed, 2 wrong usage or input.`;

/** What the options say about the settings; undefined leaves a setting as it is. */
export interface SettingOptions {
  prune?: 'adaptive' | number | undefined;
  tau?: number | undefined;
  rollouts?: 'adaptive' | number | undefined;
  cap?: number | undefined;
  others: Partial<Omit<AskSettings, 'prune' | 'rollouts'>>;
}

export interface AskArguments {
  image: string;
  /** '-' for standard input. */
  question: string;
  settings: SettingOptions;
  configFile: string | null;
  modelFolder: string | null;
  device: DeviceSetting;
  json: boolean;
}

const devices: DeviceSetting[] = ['auto', 'cpu', 'webgpu', 'cuda', 'dml', 'coreml'];

/** The option behind each setting, for messages. */
const optionOf: Record<string, string> = {
  'settings.prune.ratio': '--prune',
  'settings.prune.tauDegrees': '--tau',
  'settings.rollouts.k': '--rollouts',
  'settings.rollouts.cap': '--cap',
  'settings.confidence': '--confidence',
  'settings.temperature': '--temperature',
  'settings.topP': '--top-p',
  'settings.seed': '--seed',
  'settings.maxNewTokens': '--max-new-tokens',
};

/**
 * @param argv without the interpreter and the script
 * @returns null where help was asked for
 * @throws {AvisError} 'badInput', naming the option.
 */
export function parseArguments(argv: string[]): AskArguments | null {
  const { values, positionals } = parse(argv);
  if (values.help) return null;

  const [image, question, surplus] = positionals;
  if (image === undefined) throw usageError('IMAGE and QUESTION are missing');
  if (question === undefined) throw usageError('QUESTION is missing');
  if (surplus !== undefined) {
    throw usageError(`"${surplus}" is one argument too many; put the question in quotes`);
  }
  if (question.trim() === '') throw usageError('the question is empty');
  if (question.length > longestQuestionArgument) {
    throw usageError(
      `the question has ${question.length} characters, and an argument may have ${longestQuestionArgument}; give - as the question and its text on standard input`,
    );
  }
  const device = devices.find((name) => name === values.device);
  if (!device) {
    throw usageError(`--device is "${values.device}": it must be one of ${devices.join(', ')}`);
  }

  const settings: SettingOptions = {
    prune: readMode('prune', values.prune),
    tau: readNumber('tau', values.tau),
    rollouts: readMode('rollouts', values.rollouts),
    cap: readNumber('cap', values.cap),
    others: {
      ...present('confidence', readNumber('confidence', values.confidence)),
      ...present('temperature', readNumber('temperature', values.temperature)),
      ...present('topP', readNumber('top-p', values['top-p'])),
      ...present('seed', readNumber('seed', values.seed)),
      ...present('maxNewTokens', readNumber('max-new-tokens', values['max-new-tokens'])),
      ...(values['no-thinking'] && { thinking: false }),
      ...(values['no-early-stop'] && { earlyStop: false }),
    },
  };
  if (typeof settings.prune === 'number' && settings.tau !== undefined) {
    throw usageError('--tau belongs to adaptive pruning, and --prune gives a fixed share');
  }
  if (typeof settings.rollouts === 'number' && settings.cap !== undefined) {
    throw usageError('--cap belongs to adaptive rollouts, and --rollouts gives a fixed number');
  }
  checkOptions(settings);

  return {
    image,
    question,
    settings,
    configFile: values.config ?? null,
    modelFolder: values.model ?? null,
    device,
    json: values.json,
  };
}

/**
 * Lays the options over the settings of a configuration file, and these over the model's defaults.
 */
export function resolveSettings(
  options: SettingOptions,
  defaults: AskSettings,
  fromConfig: AskSettings | null,
): AskSettings {
  const base = fromConfig ?? defaults;
  const resolved = { ...base, ...options.others };

  if (typeof options.prune === 'number') {
    resolved.prune = { mode: 'fixed', ratio: options.prune };
  } else if (options.prune === 'adaptive' || options.tau !== undefined) {
    const adaptive = base.prune.mode === 'adaptive' ? base.prune : defaults.prune;
    resolved.prune =
      options.tau === undefined ? adaptive : { mode: 'adaptive', tauDegrees: options.tau };
  }

  if (typeof options.rollouts === 'number') {
    resolved.rollouts = { mode: 'fixed', k: options.rollouts };
  } else if (options.rollouts === 'adaptive' || options.cap !== undefined) {
    const adaptive = base.rollouts.mode === 'adaptive' ? base.rollouts : defaults.rollouts;
    resolved.rollouts =
      options.cap === undefined ? adaptive : { mode: 'adaptive', cap: options.cap };
  }
  return resolved;
}

function parse(argv: string[]) {
  try {
    return parseArgs({
      args: argv,
      allowPositionals: true,
      options: {
        prune: { type: 'string' },
        tau: { type: 'string' },
        rollouts: { type: 'string' },
        cap: { type: 'string' },
        confidence: { type: 'string' },
        temperature: { type: 'string' },
        'top-p': { type: 'string' },
        seed: { type: 'string' },
        'max-new-tokens': { type: 'string' },
        'no-thinking': { type: 'boolean', default: false },
        'no-early-stop': { type: 'boolean', default: false },
        config: { type: 'string' },
        model: { type: 'string' },
        device: { type: 'string', default: 'auto' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    // Node's messages are one or more sentences; the first says what is wrong.
    const [sentence = ''] = (error as Error).message.split(/[.\n]/);
    throw usageError(sentence, error);
  }
}

function readMode(option: string, text: string | undefined): 'adaptive' | number | undefined {
  return text === 'adaptive' ? text : readNumber(option, text, 'adaptive or a number');
}

function readNumber(
  option: string,
  text: string | undefined,
  expected = 'a number',
): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (text.trim() === '' || Number.isNaN(value)) {
    throw usageError(`--${option} is "${text}": it must be ${expected}`);
  }
  return value;
}

function present<Key extends string, Value>(key: Key, value: Value | undefined) {
  return value === undefined ? {} : ({ [key]: value } as Record<Key, Value>);
}

/** Ranges, before a model is loaded. */
function checkOptions(options: SettingOptions): void {
  try {
    checkSettings(resolveSettings(options, defaultSettings(null), null));
  } catch (error) {
    const { message } = error as AvisError;
    const path = message.slice(0, message.indexOf(' '));
    throw usageError(message.replace(path, optionOf[path] ?? path).replace(/\.$/, ''), error);
  }
}

function usageError(reason: string, cause?: unknown): AvisError {
  return new AvisError('badInput', `${reason}. See --help.`, { cause });
}
