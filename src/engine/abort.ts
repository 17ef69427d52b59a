import { AvisError } from '../shared/errors';

/** @throws {AvisError} the signal's own reason, or 'canceled'. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (!signal?.aborted) return;
  const reason: unknown = signal.reason;
  throw reason instanceof AvisError ? reason : new AvisError('canceled', 'Canceled.');
}

/**
 * Lets messages and timers in, then checks the signal. A graph run blocks the thread, so every loop
 * over runs needs such a turn or a cancellation would only be seen at its end.
 */
export async function yieldToEvents(signal: AbortSignal | undefined): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(resolve));
  throwIfAborted(signal);
}
