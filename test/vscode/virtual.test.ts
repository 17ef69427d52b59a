import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import * as vscode from 'vscode';
import type { AvisApi } from '../../src/host/avisApi';
import { closePanels, extension, inWorkspace, quickSettings, samples } from './extension';

/** Files that are on no disk, as in a virtual workspace. */
class MemoryFiles implements vscode.FileSystemProvider {
  readonly files = new Map<string, Uint8Array>();
  readonly onDidChangeFile = new vscode.EventEmitter<vscode.FileChangeEvent[]>().event;

  watch(): vscode.Disposable {
    return { dispose: () => {} };
  }

  stat(uri: vscode.Uri): vscode.FileStat {
    const type = uri.path === '/' ? vscode.FileType.Directory : vscode.FileType.File;
    const size = type === vscode.FileType.File ? this.readFile(uri).length : 0;
    return { type, size, ctime: 0, mtime: 0 };
  }

  readFile(uri: vscode.Uri): Uint8Array {
    const bytes = this.files.get(uri.path);
    if (!bytes) throw vscode.FileSystemError.FileNotFound(uri);
    return bytes;
  }

  writeFile(uri: vscode.Uri, bytes: Uint8Array): void {
    this.files.set(uri.path, bytes);
  }

  readDirectory(): [string, vscode.FileType][] {
    return [...this.files.keys()].map((path) => [path.slice(1), vscode.FileType.File]);
  }

  createDirectory(uri: vscode.Uri): void {
    throw vscode.FileSystemError.NoPermissions(uri);
  }

  delete(uri: vscode.Uri): void {
    throw vscode.FileSystemError.NoPermissions(uri);
  }

  rename(uri: vscode.Uri): void {
    throw vscode.FileSystemError.NoPermissions(uri);
  }
}

describe('a virtual workspace', () => {
  const memory = new MemoryFiles();
  const { file, question } = samples()[0]!;
  const image = vscode.Uri.parse(`avis-memory:/${file}`);
  let api: AvisApi;
  let provider: vscode.Disposable;

  before(async () => {
    memory.files.set(image.path, readFileSync(inWorkspace(file).fsPath));
    provider = vscode.workspace.registerFileSystemProvider('avis-memory', memory);
    api = await extension.activate();
  });

  after(async () => {
    await closePanels();
    provider.dispose();
  });

  it('has its images answered as those on disk', async () => {
    const virtual = await api.askImage(image, question, quickSettings);
    const onDisk = await api.askImage(inWorkspace(file), question, quickSettings);
    assert.deepEqual(virtual.visual, onDisk.visual);
    assert.deepEqual(
      virtual.rollouts.map(({ text }) => text),
      onDisk.rollouts.map(({ text }) => text),
    );
  });

  it('takes an exported configuration and gives it back', async () => {
    const target = image.with({ path: '/tuned.avis.json' });
    await api.exportConfig(image, target);
    const config = JSON.parse(Buffer.from(memory.readFile(target)).toString()) as {
      settings: unknown;
    };
    assert.deepEqual(config.settings, quickSettings);
    await api.applyConfig(target, image);
  });

  it('names a file that isn’t there', async () => {
    const missing = image.with({ path: '/missing.png' });
    await assert.rejects(api.askImage(missing, question), /missing\.png can’t be read.*exist/);
  });
});
