/**
 * The host's side of the engine process: forks it when it is needed, keeps one model loaded, and makes
 * sure that every request ends, whatever happens to the process.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { createInterface } from 'node:readline';
import type {
  AskProgress,
  AskRequest,
  EngineProgress,
  EngineReplies,
  EngineRequest,
  LoadModelRequest,
} from '../shared/engineProtocol';
import { AvisError, toErrorData } from '../shared/errors';
import type { ModelState } from '../shared/panelProtocol';
import { RpcClient } from '../shared/rpc';
import type { ModelInfo, RunResult } from '../shared/types';
import { raceAbort } from './raceAbort';

export type ModelChoice = Pick<LoadModelRequest, 'folder' | 'device' | 'dtype'>;

export interface EngineLog {
  debug(message: string): void;
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

export interface EngineClientOptions {
  /** Absolute path of the engine process's script. */
  script: string;
  cacheFolder: string;
  log: EngineLog;
  /** Minutes without a request after which the process ends; 0 = never. */
  idleMinutes: () => number;
  /** Tells the person what they would not see otherwise. */
  tell: (message: string) => void;
  /** How long a stopped or canceled process may take before it is killed. */
  stopTimeoutMs?: number;
  hardCancelMs?: number;
}

interface LoadedModel {
  choice: ModelChoice;
  info: Promise<ModelInfo>;
}

/** One life of the process. */
interface EngineSession {
  child: ChildProcess;
  rpc: RpcClient<EngineRequest, EngineReplies, EngineProgress>;
  exited: Promise<void>;
  model?: LoadedModel;
  /** Canceled asks that have not come to their end. */
  stopping: number;
  /** Set before we end the process ourselves; without it an exit is a crash. */
  endReason?: AvisError;
}

const maxCrashes = 5;
const crashWindowMs = 3 * 60_000;

export class EngineClient {
  private session: EngineSession | undefined;
  private currentState: ModelState = { status: 'unloaded' };
  private readonly listeners = new Set<() => void>();
  private crashTimes: number[] = [];
  private askCount = 0;
  private idleTimer: NodeJS.Timeout | undefined;
  private disposed = false;

  constructor(private readonly options: EngineClientOptions) {}

  get state(): ModelState {
    return this.currentState;
  }

  get runningAsks(): number {
    return this.askCount;
  }

  /** Of the running engine process, for people and tests. */
  get processId(): number | undefined {
    return this.session?.child.pid;
  }

  /** Calls `listener` whenever `state` or `runningAsks` has changed. */
  onDidChange(listener: () => void): { dispose(): void } {
    this.listeners.add(listener);
    return { dispose: () => this.listeners.delete(listener) };
  }

  /**
   * Loads a model, or joins the load under way; a process that holds another model is replaced.
   * @throws {AvisError} 'badModel' and 'device' from the engine; 'engineStopped' when the process ends.
   */
  async load(choice: ModelChoice): Promise<ModelInfo> {
    if (this.session?.model && !isSameChoice(this.session.model.choice, choice)) {
      await this.stop('The engine was restarted because another model or device was chosen.');
    }
    const session = this.session ?? this.start();
    session.model ??= { choice, info: this.requestLoad(session, choice) };
    return session.model.info;
  }

  /**
   * Asks, loading the model first where needed.
   * @throws {AvisError} what the engine threw; the signal's reason; 'engineStopped' on a crash.
   */
  async ask(
    choice: ModelChoice,
    request: Omit<AskRequest, 'type'>,
    options: { signal?: AbortSignal; onProgress?: (progress: AskProgress) => void } = {},
  ): Promise<RunResult> {
    const { signal, onProgress } = options;
    this.askCount++;
    this.changed();
    let watchCancel: (() => void) | undefined;
    try {
      await raceAbort(this.load(choice), signal);
      const session = this.session;
      if (!session) throw this.stoppedError('it was unloaded');
      let endStopping: (() => void) | undefined;
      // A superseding run waits for the stage under way: killing would throw the loaded model away.
      watchCancel = () => {
        if (!isSuperseded(signal)) endStopping = this.waitForStop(session);
      };
      signal?.addEventListener('abort', watchCancel, { once: true });
      const result = await session.rpc.request<'ask'>(
        { type: 'ask', ...request },
        { signal, onProgress, onLateEnd: () => endStopping?.() },
      );
      this.options.log.info(describeRun(request.image.name, result));
      return result;
    } catch (error) {
      const lastOne = this.askCount === 1 && signal?.aborted && !isSuperseded(signal);
      if (lastOne && this.currentState.status === 'loading')
        void this.stop('The load was canceled.');
      throw error;
    } finally {
      if (watchCancel && !signal?.aborted) signal?.removeEventListener('abort', watchCancel);
      this.askCount--;
      this.changed();
    }
  }

  /** A PNG of an image that browsers can't show. @throws {AvisError} when it can't be read. */
  async preview(image: AskRequest['image'], maxSidePx: number): Promise<Uint8Array> {
    const { rpc } = this.session ?? this.start();
    try {
      return (await rpc.request<'previewImage'>({ type: 'previewImage', image, maxSidePx })).png;
    } finally {
      this.changed();
    }
  }

  /** Ends the process (what was pending is rejected) and forgets earlier crashes. */
  async restart(): Promise<void> {
    this.crashTimes = [];
    await this.stop('The engine was restarted.');
  }

  async dispose(): Promise<void> {
    this.disposed = true;
    this.listeners.clear();
    await this.stop('The extension was deactivated.');
  }

  private start(): EngineSession {
    if (this.disposed) throw this.stoppedError('the extension was deactivated');
    if (this.recentCrashes() >= maxCrashes) throw tooManyCrashes();
    const { script, log } = this.options;
    log.info(`Starting the engine process: ${script}`);
    const child = fork(script, {
      env: { ...process.env, ELECTRON_RUN_AS_NODE: '1' },
      // Not the debugger flags of the extension host.
      execArgv: [],
      serialization: 'advanced',
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    if (child.stdout) createInterface(child.stdout).on('line', (line) => log.debug(line));
    if (child.stderr) createInterface(child.stderr).on('line', (line) => log.warn(line));
    const rpc = new RpcClient<EngineRequest, EngineReplies, EngineProgress>({
      post: (message) => {
        if (child.connected) child.send(message as object, (error) => error && child.kill());
      },
      onMessage: (listener) => child.on('message', listener),
    });
    const exited = new Promise<void>((resolve) => {
      child.once('error', (error) => {
        log.error(`The engine process: ${error.message}`);
        if (child.pid !== undefined) return;
        this.onExit(session, null, null, error);
        resolve();
      });
      child.once('exit', (code, signal) => {
        this.onExit(session, code, signal);
        resolve();
      });
    });
    const session: EngineSession = { child, rpc, exited, stopping: 0 };
    this.session = session;
    return session;
  }

  private async requestLoad(session: EngineSession, choice: ModelChoice): Promise<ModelInfo> {
    this.setState({ status: 'loading', message: 'Starting the engine' });
    try {
      const model = await session.rpc.request<'loadModel'>(
        { type: 'loadModel', ...choice, cacheFolder: this.options.cacheFolder },
        { onProgress: ({ message }) => this.setState({ status: 'loading', message }) },
      );
      this.options.log.info(
        `Loaded ${model.name} (${model.family}) on ${model.device.device} in ${Math.round(model.loadMs)} ms`,
      );
      for (const { device, reason } of model.device.rejected) {
        this.options.log.info(`Not on ${device}: ${reason}`);
      }
      for (const warning of model.warnings) this.options.log.warn(warning);
      this.setState({ status: 'ready', model, stopping: false });
      return model;
    } catch (error) {
      delete session.model;
      if (this.session === session) this.setState({ status: 'failed', error: toErrorData(error) });
      throw error;
    }
  }

  private async stop(reason: string): Promise<void> {
    const session = this.session;
    if (!session) {
      this.setState({ status: 'unloaded' });
      return;
    }
    this.end(session, new AvisError('engineStopped', `${reason} Run again to continue.`));
    // The process ends by itself once its channel is closed.
    if (session.child.connected) session.child.disconnect();
    const timer = setTimeout(
      () => session.child.kill('SIGKILL'),
      this.options.stopTimeoutMs ?? 3000,
    );
    await session.exited;
    clearTimeout(timer);
  }

  /**
   * A stage can't be interrupted: says that a canceled run is stopping, and kills the process when that
   * takes too long. @returns what is to be called when the run has come to its end.
   */
  private waitForStop(session: EngineSession): () => void {
    const timer = setTimeout(() => this.killStuck(session), this.options.hardCancelMs ?? 10_000);
    timer.unref();
    session.stopping++;
    this.showStopping(session);
    return () => {
      clearTimeout(timer);
      session.stopping--;
      this.showStopping(session);
    };
  }

  private showStopping(session: EngineSession): void {
    const { currentState } = this;
    if (this.session !== session || currentState.status !== 'ready') return;
    this.setState({ ...currentState, stopping: session.stopping > 0 });
  }

  /** While anyone waits for the process it is left alone: they can cancel, too. */
  private killStuck(session: EngineSession): void {
    if (session.endReason || session.child.exitCode !== null || this.askCount > 0) return;
    const message =
      'The canceled run did not stop in time, so the engine was restarted. Runs already shown are kept.';
    this.options.log.warn(message);
    this.options.tell(message);
    const choice = session.model?.choice;
    this.end(session, new AvisError('engineStopped', `${message} Run again to continue.`));
    session.child.kill('SIGKILL');
    if (choice) this.reload(choice);
  }

  /** Rejects what is pending; later requests start a new process. */
  private end(session: EngineSession, reason: AvisError): void {
    session.endReason = reason;
    if (this.session === session) {
      this.session = undefined;
      this.setState({ status: 'unloaded' });
    }
    session.rpc.close(reason);
  }

  private onExit(
    session: EngineSession,
    code: number | null,
    signal: string | null,
    error?: Error,
  ): void {
    if (session.endReason) return;
    const how = error ? error.message : signal ? `signal ${signal}` : `exit code ${code}`;
    this.options.log.error(`The engine process ended unexpectedly: ${how}`);
    this.crashTimes.push(Date.now());
    const reason =
      this.recentCrashes() >= maxCrashes
        ? tooManyCrashes()
        : new AvisError(signal === 'SIGKILL' ? 'outOfMemory' : 'engineStopped', crashMessage(how));
    const loadedChoice = this.currentState.status === 'ready' ? session.model?.choice : undefined;
    this.end(session, reason);
    this.setState({ status: 'failed', error: toErrorData(reason) });
    if (loadedChoice && this.recentCrashes() < maxCrashes) this.reload(loadedChoice);
  }

  /** So that a retry finds the model loaded; whether it fails is in `state`. */
  private reload(choice: ModelChoice): void {
    if (this.disposed) return;
    this.load(choice).catch((error: Error) => this.options.log.error(error.message));
  }

  private recentCrashes(): number {
    const since = Date.now() - crashWindowMs;
    this.crashTimes = this.crashTimes.filter((time) => time >= since);
    return this.crashTimes.length;
  }

  private stoppedError(why: string): AvisError {
    return new AvisError(
      'engineStopped',
      `The engine stopped because ${why}. Run again to continue.`,
    );
  }

  private setState(state: ModelState): void {
    this.currentState = state;
    this.changed();
  }

  private changed(): void {
    clearTimeout(this.idleTimer);
    const minutes = this.options.idleMinutes();
    const isIdle = this.session && this.askCount === 0 && this.currentState.status !== 'loading';
    if (minutes > 0 && isIdle) {
      this.idleTimer = setTimeout(() => void this.stop('The model was idle.'), minutes * 60_000);
      this.idleTimer.unref();
    }
    for (const listener of this.listeners) listener();
  }
}

function describeRun(name: string, { visual, rollouts, timing, model }: RunResult): string {
  const ms = Math.round(timing.total);
  return `${name}: ${visual.kept} of ${visual.total} visual tokens, ${rollouts.length} rollouts, ${ms} ms on ${model.device}`;
}

function isSameChoice(a: ModelChoice, b: ModelChoice): boolean {
  return a.folder === b.folder && a.device === b.device && a.dtype === b.dtype;
}

function isSuperseded(signal: AbortSignal | undefined): boolean {
  return signal?.reason instanceof AvisError && signal.reason.code === 'superseded';
}

function crashMessage(how: string): string {
  const memory = how.endsWith('SIGKILL')
    ? ' The system may have run out of memory: choose a smaller model or dtype if it happens again.'
    : '';
  return `The engine stopped unexpectedly (${how}).${memory} Runs already shown are kept; press Retry, and see “AVIS: Show Log” for details.`;
}

function tooManyCrashes(): AvisError {
  return new AvisError(
    'engineStopped',
    'The engine stopped five times in three minutes and is not started again by itself. See “AVIS: Show Log”, try another device (avis.engine.device) or model, then run “AVIS: Restart Engine”.',
  );
}
