/**
 * The engine as a process of its own, forked by the extension host with advanced serialization: answers
 * the requests of engineProtocol.ts over IPC, one loaded model at a time. It never outlives its parent.
 */
import { writeSync } from 'node:fs';
import { throwIfAborted } from '../engine/abort';
import { Engine } from '../engine/engine';
import { previewImage } from '../engine/image';
import type { EngineProgress, EngineReplies, EngineRequest } from '../shared/engineProtocol';
import { AvisError } from '../shared/errors';
import { type Channel, serveRpc } from '../shared/rpc';

type Context = {
  signal: AbortSignal;
  progress: (value: EngineProgress[EngineRequest['type']]) => void;
};

let engine: Engine | null = null;

/** Loads and unloads one after the other; asks queue in the engine. */
let switching: Promise<unknown> = Promise.resolve();

async function handle(
  request: EngineRequest,
  { signal, progress }: Context,
): Promise<EngineReplies[EngineRequest['type']]> {
  switch (request.type) {
    case 'loadModel':
      return afterSwitching(async () => {
        throwIfAborted(signal);
        await unload();
        engine = await Engine.load(request, progress, signal);
        return engine.info;
      });
    case 'ask':
      await switching;
      if (!engine) throw new AvisError('internal', 'No model is loaded yet.');
      return engine.ask(request, progress, signal);
    case 'previewImage': {
      const { image, maxSidePx } = request;
      return { png: await previewImage(image.bytes, image.name, maxSidePx) };
    }
    case 'unloadModel':
      return afterSwitching(async () => {
        await unload();
        return null;
      });
    default:
      return request satisfies never;
  }
}

async function unload(): Promise<void> {
  const old = engine;
  engine = null;
  await old?.dispose();
}

function afterSwitching<Value>(job: () => Promise<Value>): Promise<Value> {
  const run = switching.then(job);
  switching = run.catch(() => {});
  return run;
}

/** A reply that can't be sent has nobody to go to: the parent is gone, and 'disconnect' ends us. */
const parent: Channel = {
  post: (message) => {
    process.send?.(message, undefined, {}, () => {});
  },
  onMessage: (listener) => {
    process.on('message', listener);
  },
};

function crash(error: unknown): void {
  const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
  try {
    writeSync(process.stderr.fd, `The engine stopped: ${detail}\n`);
  } finally {
    process.exit(1);
  }
}

// Gone before we were ready: then no 'disconnect' comes any more.
if (!process.connected) process.exit(0);
process.on('disconnect', () => process.exit(0));
process.on('uncaughtException', crash);
process.on('unhandledRejection', crash);
serveRpc<EngineRequest, EngineReplies, EngineProgress>(parent, handle);
