import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import * as vscode from 'vscode';
import type { AvisApi } from '../../src/host/avisApi';
import { type HubFile, LoopbackHub } from '../unit/hub/loopbackHub';
import { closePanels, extension, inWorkspace, quickSettings, samples } from './extension';

const repository = 'somebody/small-vl';

async function set(name: string, value: string | undefined): Promise<void> {
  const settings = vscode.workspace.getConfiguration('avis');
  await settings.update(name, value, vscode.ConfigurationTarget.Global);
}

describe('getting a model', () => {
  let api: AvisApi;
  let hub: LoopbackHub;
  const folders: string[] = [];

  before(async () => {
    api = await extension.activate();
    const model = join(extension.extensionPath, 'media/model');
    hub = new LoopbackHub(repository, '0123456789abcdef0123456789abcdef01234567', filesOf(model));
    await hub.start();
    await set('hub.endpoint', hub.url);
  });

  after(async () => {
    await closePanels();
    await set('model.path', undefined);
    await set('hub.endpoint', undefined);
    await hub.stop();
    for (const folder of folders) rmSync(folder, { recursive: true });
  });

  it('downloads it from the hub that is set, and answers with it once it is chosen', async () => {
    const folder = await vscode.commands.executeCommand<string>(
      'avis.getModel',
      repository,
      'fp32',
    );
    folders.push(folder);
    for (const [path, { bytes }] of hub.files) {
      if (path === 'README.md') continue;
      assert.ok(readFileSync(join(folder, path)).equals(bytes), path);
    }
    await set('model.path', folder);
    const { file, question } = samples()[0]!;
    const result = await api.askImage(inWorkspace(file), question, quickSettings);
    assert.equal(result.rollouts.length, 3);
    const { state } = api.engine;
    assert.equal(state.status === 'ready' && state.model.folder, folder);
  });

  it('asks the hub for nothing once a model is there', async () => {
    hub.requests.length = 0;
    const { file, question } = samples()[0]!;
    await api.askImage(inWorkspace(file), question, quickSettings);
    assert.deepEqual(hub.requests, []);
  });

  it('says which model there is none of, and leaves nothing behind', async () => {
    const storage = join(folders[0]!, '..');
    const before = readdirSync(storage);
    const none = await vscode.commands.executeCommand('avis.getModel', 'somebody/none', 'fp32');
    assert.equal(none, undefined);
    assert.deepEqual(readdirSync(storage), before);
    assert.ok(!existsSync(join(storage, 'somebody--none--fp32.partial')));
  });
});

/** A checkpoint as a repository's files; the graphs are large ones there. */
function filesOf(folder: string): Map<string, HubFile> {
  const files = new Map<string, HubFile>();
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const name = path.slice(folder.length + 1).replaceAll('\\', '/');
    files.set(name, { bytes: readFileSync(path), large: name.endsWith('.onnx') });
  }
  return files;
}
