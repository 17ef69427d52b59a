/** Why something failed, for the code that decides what to offer next. */
export type ErrorCode =
  | 'badInput' // the image, question, setting or file a person gave
  | 'badModel' // the checkpoint folder
  | 'outOfMemory'
  | 'device' // an execution provider failed
  | 'canceled'
  | 'superseded'
  | 'engineStopped' // the engine process ended
  | 'internal';

/** An error whose message a person can act on: what happened, to which file or value, what to do. */
export class AvisError extends Error {
  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.name = 'AvisError';
  }
}

/** The plain form in which an error crosses a channel. */
export interface ErrorData {
  code: ErrorCode;
  message: string;
  /** For the log only. */
  stack?: string;
}

export function toErrorData(error: unknown): ErrorData {
  if (error instanceof AvisError) {
    return { code: error.code, message: error.message, stack: describeCauses(error) };
  }
  if (error instanceof Error) {
    const code = error.name === 'AbortError' ? 'canceled' : 'internal';
    return { code, message: error.message, stack: describeCauses(error) };
  }
  return { code: 'internal', message: String(error) };
}

export function fromErrorData(data: ErrorData): AvisError {
  const error = new AvisError(data.code, data.message);
  if (data.stack !== undefined) error.stack = data.stack;
  return error;
}

function describeCauses(error: Error): string {
  const cause = error.cause;
  const own = error.stack ?? error.message;
  return cause instanceof Error ? `${own}\nCaused by: ${describeCauses(cause)}` : own;
}
