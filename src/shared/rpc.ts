/**
 * Requests with progress, cancellation and a certain end over any message channel.
 * Every request settles: by a reply, by an error reply, or by a rejection when the channel closes.
 */
import { AvisError, type ErrorData, fromErrorData, toErrorData } from './errors';

/** A duplex channel: child-process IPC, or a webview's postMessage. */
export interface Channel {
  post(message: unknown): void;
  /** Called once, before the first message is due. */
  onMessage(listener: (message: unknown) => void): void;
}

type Envelope =
  | { kind: 'request'; id: number; request: { type: string } }
  | { kind: 'cancel'; id: number }
  | { kind: 'progress'; id: number; progress: unknown }
  | { kind: 'reply'; id: number; value: unknown }
  | { kind: 'failure'; id: number; error: ErrorData };

interface Pending {
  resolve(value: unknown): void;
  reject(error: Error): void;
  onProgress: ((progress: unknown) => void) | undefined;
}

/** The asking side. */
export class RpcClient<
  Request extends { type: string },
  Replies extends Record<Request['type'], unknown>,
  Progress extends Record<Request['type'], unknown>,
> {
  private readonly pending = new Map<number, Pending>();
  /** Canceled here, not yet ended by the other side. */
  private readonly canceled = new Map<number, (() => void) | undefined>();
  private nextId = 1;
  private closedBy: AvisError | undefined;

  constructor(private readonly channel: Channel) {
    channel.onMessage((message) => this.receive(message as Envelope));
  }

  /**
   * Sends a request and waits for its end.
   * @throws {AvisError} what the other side threw; 'canceled' when `signal` aborts (the other side is
   * told and the promise rejects at once); the reason given to `close` when the channel closes.
   * `onLateEnd` is called when the other side comes back from a request that was canceled here.
   */
  request<Type extends Request['type']>(
    request: Extract<Request, { type: Type }>,
    options: {
      signal?: AbortSignal;
      onProgress?: (progress: Progress[Type]) => void;
      onLateEnd?: () => void;
    } = {},
  ): Promise<Replies[Type]> {
    const { signal, onProgress, onLateEnd } = options;
    if (this.closedBy) return Promise.reject(this.closedBy);
    if (signal?.aborted) return Promise.reject(abortError(signal));
    const id = this.nextId++;
    return new Promise<Replies[Type]>((resolve, reject) => {
      const onAbort = () => {
        this.settle(id)?.reject(abortError(signal));
        this.canceled.set(id, onLateEnd);
        this.channel.post({ kind: 'cancel', id } satisfies Envelope);
      };
      const finish = () => signal?.removeEventListener('abort', onAbort);
      this.pending.set(id, {
        resolve: (value) => (finish(), resolve(value as Replies[Type])),
        reject: (error) => (finish(), reject(error)),
        onProgress: onProgress as ((progress: unknown) => void) | undefined,
      });
      signal?.addEventListener('abort', onAbort);
      try {
        this.channel.post({ kind: 'request', id, request } satisfies Envelope);
      } catch (error) {
        this.settle(id)?.reject(error as Error);
      }
    });
  }

  get pendingCount(): number {
    return this.pending.size;
  }

  /** Rejects everything pending, and every later request, with `reason`. */
  close(reason: AvisError): void {
    this.closedBy ??= reason;
    for (const id of this.pending.keys()) this.settle(id)?.reject(this.closedBy);
  }

  private receive(message: Envelope): void {
    switch (message.kind) {
      case 'progress':
        this.pending.get(message.id)?.onProgress?.(message.progress);
        return;
      case 'reply':
        this.settle(message.id)?.resolve(message.value);
        this.endLate(message.id);
        return;
      case 'failure':
        this.settle(message.id)?.reject(fromErrorData(message.error));
        this.endLate(message.id);
        return;
      case 'request':
      case 'cancel':
        return; // for the answering side on the same channel
      default:
        message satisfies never;
    }
  }

  private endLate(id: number): void {
    const onLateEnd = this.canceled.get(id);
    this.canceled.delete(id);
    onLateEnd?.();
  }

  private settle(id: number): Pending | undefined {
    const pending = this.pending.get(id);
    this.pending.delete(id);
    return pending;
  }
}

/** The answering side: one handler, called once a request, with its own AbortSignal. */
export function serveRpc<
  Request extends { type: string },
  Replies extends Record<Request['type'], unknown>,
  Progress extends Record<Request['type'], unknown>,
>(
  channel: Channel,
  handle: (
    request: Request,
    context: { signal: AbortSignal; progress: (value: Progress[Request['type']]) => void },
  ) => Promise<Replies[Request['type']]>,
): void {
  const running = new Map<number, AbortController>();
  const answer = async (id: number, request: Request) => {
    const controller = new AbortController();
    running.set(id, controller);
    try {
      const value = await handle(request, {
        signal: controller.signal,
        progress: (progress) => {
          if (!controller.signal.aborted) {
            channel.post({ kind: 'progress', id, progress } satisfies Envelope);
          }
        },
      });
      channel.post({ kind: 'reply', id, value } satisfies Envelope);
    } catch (error) {
      channel.post({ kind: 'failure', id, error: toErrorData(error) } satisfies Envelope);
    } finally {
      running.delete(id);
    }
  };
  channel.onMessage((message) => {
    const envelope = message as Envelope;
    if (envelope.kind === 'request') void answer(envelope.id, envelope.request as Request);
    else if (envelope.kind === 'cancel') running.get(envelope.id)?.abort();
  });
}

function abortError(signal: AbortSignal | undefined): AvisError {
  const reason: unknown = signal?.reason;
  return reason instanceof AvisError ? reason : new AvisError('canceled', 'Canceled.');
}
