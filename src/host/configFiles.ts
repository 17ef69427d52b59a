/** Export of a run's configuration, and applying such a file. */
import { homedir } from 'node:os';
import * as vscode from 'vscode';
import type { AvisConfig } from '../avis/config';
import { computeWithVanilla } from '../avis/measuredVanilla';
import { AvisError } from '../shared/errors';
import type { EngineClient, ModelChoice } from './engineClient';
import { fileName, readTextFile, writeTextFile } from './files';
import type { ImageSession } from './imageSession';
import type { Panel } from './panel';

/**
 * The configuration of a run, and how that run is called in the reference's own flags.
 * @param runId the newest run where undefined, measured vanilla ones aside
 * @throws {AvisError} 'badInput' when there is no such run, or its model isn't the one chosen now.
 */
export async function buildRunConfig(
  session: ImageSession,
  runId: number | undefined,
  engine: EngineClient,
  choice: ModelChoice,
): Promise<{ json: string; flags: string }> {
  const run = session.runs.findLast(({ id, purpose }) =>
    runId === undefined ? purpose === 'run' : id === runId,
  );
  if (!run) {
    throw new AvisError(
      'badInput',
      'There is no finished run to export yet: ask a question first.',
    );
  }
  // A run from before a window reload: its model is the one that is loaded, or can't be vouched for.
  const model = session.models.get(run.id) ?? (await engine.load(choice));
  if (model.name !== run.result.model.name) {
    throw new AvisError(
      'badInput',
      `Run #${run.id} was made with ${run.result.model.name}, but ${model.name} is chosen: choose that model or run again, then export.`,
    );
  }
  const { buildConfig, toReferenceFlags } = await import('../avis/config');
  const compute = computeWithVanilla(run, session.runs);
  const config = buildConfig(model, { ...run.result, compute });
  return { json: `${JSON.stringify(config, null, 2)}\n`, flags: toReferenceFlags(config) };
}

/**
 * Asks where to save, beside the image at first; undefined when dismissed.
 * @param extensionUri a sample's folder goes with the extension's next update: home is proposed for it
 */
export async function pickConfigTarget(
  image: vscode.Uri,
  extensionUri: vscode.Uri,
): Promise<vscode.Uri | undefined> {
  const name = fileName(image).replace(/\.[^.]*$/, '');
  const isOurs = image.toString().startsWith(`${extensionUri.toString()}/`);
  const inWorkspace = vscode.workspace.getWorkspaceFolder(image) !== undefined;
  const folder =
    isOurs && !inWorkspace ? vscode.Uri.file(homedir()) : vscode.Uri.joinPath(image, '..');
  return vscode.window.showSaveDialog({
    title: 'Export the AVIS configuration',
    defaultUri: vscode.Uri.joinPath(folder, `${name}.avis.json`),
    filters: { 'AVIS configuration': ['avis.json'], JSON: ['json'] },
  });
}

export async function exportConfig(target: vscode.Uri, json: string): Promise<void> {
  await writeTextFile(target, json);
  const open = 'Open';
  void vscode.window
    .showInformationMessage(`Exported to ${fileName(target)}.`, open)
    .then((choice) => choice && vscode.window.showTextDocument(target));
}

/** @throws {AvisError} 'badInput' with the file, the JSON path and the reason. */
export async function readConfig(uri: vscode.Uri): Promise<AvisConfig> {
  const text = await readTextFile(uri);
  const { parseConfig } = await import('../avis/config');
  return parseConfig(text, fileName(uri));
}

/** Applies a configuration to panels, saying so, and saying where it was tuned on another model. */
export function applyConfig(
  config: AvisConfig,
  source: vscode.Uri,
  panels: Panel[],
  engine: EngineClient,
): void {
  const { state } = engine;
  const loaded = state.status === 'ready' ? state.model : undefined;
  const differs =
    loaded &&
    Object.entries(config.model.fileHashes).some(
      ([path, hash]) => loaded.fileHashes[path] !== hash,
    );
  const note = differs
    ? `Settings of ${fileName(source)} applied. They were tuned on ${config.model.name}, whose files differ from those of ${loaded.name}: measure again before relying on them.`
    : `Settings of ${fileName(source)} applied.`;
  for (const panel of panels) panel.applySettings(config.settings, note);
}
