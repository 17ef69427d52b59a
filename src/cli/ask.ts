/**
 * The command line on the engine: one image, one question, one answer. See `usage` in arguments.ts.
 */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { parseConfig } from '../avis/config';
import { defaultSettings } from '../avis/settings';
import { Engine } from '../engine/engine';
import { AvisError } from '../shared/errors';
import type { AskProgress } from '../shared/engineProtocol';
import type { AskSettings } from '../shared/types';
import { type AskArguments, parseArguments, resolveSettings, usage } from './arguments';
import { toOutput } from './output';
import { formatReport } from './report';

const exitAnswered = 0;
const exitFailed = 1;
const exitBadInput = 2;

// Beside the bundle out/ask.mjs.
const embeddedModel = fileURLToPath(new URL('../media/model', import.meta.url));
const cacheFolder = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'avis');

async function ask(options: AskArguments, signal: AbortSignal): Promise<void> {
  const startedAt = performance.now();
  const bytes = await readInput(options.image);
  const question = options.question === '-' ? await text(process.stdin) : options.question;
  const fromConfig = options.configFile === null ? null : await readConfig(options.configFile);

  const engine = await loadEngine(options, signal);
  const loadMs = performance.now() - startedAt;
  const settings = resolveSettings(
    options.settings,
    defaultSettings(engine.info.policy),
    fromConfig,
  );
  const result = await engine.ask(
    { image: { name: basename(options.image), bytes }, question, settings },
    showProgress,
    signal,
  );
  const timing = { loadMs, totalMs: performance.now() - startedAt };
  showStage('');

  if (options.json) {
    process.stdout.write(`${JSON.stringify(toOutput(result, engine.info, timing))}\n`);
  } else {
    const style = {
      color: process.stdout.isTTY && process.stdout.getColorDepth() >= 24,
      width: process.stdout.columns ?? 100,
    };
    process.stdout.write(`${formatReport(result, engine.info, style, timing)}\n`);
  }
  await engine.dispose();
}

async function loadEngine(options: AskArguments, signal: AbortSignal): Promise<Engine> {
  try {
    return await Engine.load(
      {
        folder: options.modelFolder === null ? embeddedModel : resolve(options.modelFolder),
        device: options.device,
        dtype: 'auto',
        cacheFolder,
      },
      ({ message }) => showStage(message),
      signal,
    );
  } catch (error) {
    // What is wrong with the folder that was named is wrong input, unlike a model that fails later.
    if (error instanceof AvisError && error.code === 'badModel') {
      throw new AvisError('badInput', error.message, { cause: error });
    }
    throw error;
  }
}

async function readConfig(file: string): Promise<AskSettings> {
  const bytes = await readInput(file);
  return parseConfig(new TextDecoder().decode(bytes), file).settings;
}

/** @throws {AvisError} 'badInput' with the file and the reason. */
async function readInput(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch (error) {
    const reasons: Record<string, string> = {
      ENOENT: `There is no file ${file}.`,
      EISDIR: `${file} is a folder, not a file.`,
      EACCES: `${file} can't be read: permission denied.`,
    };
    const { code = '', message } = error as NodeJS.ErrnoException;
    throw new AvisError('badInput', reasons[code] ?? `${file} can't be read: ${message}.`, {
      cause: error,
    });
  }
}

function showProgress(progress: AskProgress): void {
  if (progress.type === 'askStage') showStage(progress.stage);
}

/** On a terminal, the running stage on one line of standard error. */
function showStage(message: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001B[K${message}`);
}

async function main(): Promise<number> {
  const controller = new AbortController();
  process.once('SIGINT', () => controller.abort());
  try {
    const options = parseArguments(process.argv.slice(2));
    if (options === null) process.stdout.write(`${usage}\n`);
    else await ask(options, controller.signal);
    return exitAnswered;
  } catch (error) {
    showStage('');
    const message = error instanceof Error ? error.message : String(error);
    process.stderr.write(`ask: ${message.replaceAll(/\s*\n\s*/g, ' ')}\n`);
    return error instanceof AvisError && error.code === 'badInput' ? exitBadInput : exitFailed;
  }
}

for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error; // a reader like `head` that has seen enough is no failure
  });
}
process.exitCode = await main();
