import { AvisError } from '../shared/errors';

/** Rejects with the signal's reason when it aborts first; what `promise` stands for goes on. */
export function raceAbort<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise<T>((resolve, reject) => {
    const onAbort = () => reject(abortReason(signal));
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

function abortReason(signal: AbortSignal): AvisError {
  const reason: unknown = signal.reason;
  return reason instanceof AvisError ? reason : new AvisError('canceled', 'Canceled.');
}
