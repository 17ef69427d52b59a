import * as vscode from 'vscode';
import { AvisError, toErrorData } from '../shared/errors';

/** Tells the person when what is started here fails. */
export function showFailure(promise: PromiseLike<unknown>, log: vscode.LogOutputChannel): void {
  promise.then(undefined, (error: unknown) => showError(error, log));
}

/** Tells the person, unless they or a newer run caused it; the detail goes to the log. */
export async function showError(error: unknown, log: vscode.LogOutputChannel): Promise<void> {
  const { code, message, stack } = toErrorData(error);
  if (code === 'canceled' || code === 'superseded') return;
  log.error(stack ?? message);
  const text =
    error instanceof AvisError ? message : `AVIS failed: ${message} See the log for details.`;
  if (await vscode.window.showErrorMessage(text, 'Show Log')) log.show();
}
