import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { extension } from './extension';
import { reportFigure } from './report';

interface Manifest {
  contributes: {
    commands: { command: string }[];
    menus: Record<string, { command: string; when: string }[]>;
    configuration: { properties: Record<string, unknown> }[];
  };
  capabilities: {
    untrustedWorkspaces: { supported: string; restrictedConfigurations: string[] };
    virtualWorkspaces: boolean;
  };
}

const manifest = extension.packageJSON as Manifest;

describe('activation', () => {
  it('comes with the first need, not with the window', async () => {
    assert.equal(extension.isActive, false);
    const startedAt = performance.now();
    const api = await extension.activate();
    reportFigure('activation', Math.round((performance.now() - startedAt) * 10) / 10, 'ms');
    assert.equal(extension.isActive, true);
    assert.equal(api.engine.state.status, 'unloaded');
    assert.equal(api.engine.processId, undefined);
  });

  it('keeps its secrets from other extensions', async () => {
    const api = await extension.activate();
    const holdsSecrets = Object.values(api).some(
      (part) => typeof part === 'object' && part !== null && 'secrets' in part,
    );
    assert.equal(holdsSecrets, false);
  });

  it('registers every command of the manifest', async () => {
    const registered = new Set(await vscode.commands.getCommands(true));
    const missing = manifest.contributes.commands.filter(({ command }) => !registered.has(command));
    assert.deepEqual(missing, []);
  });

  it('puts only its own commands into menus', () => {
    const known = new Set(manifest.contributes.commands.map(({ command }) => command));
    const inMenus = Object.values(manifest.contributes.menus).flat();
    assert.deepEqual(
      inMenus.filter(({ command }) => !known.has(command)),
      [],
    );
  });

  for (const menu of ['explorer/context', 'editor/title/context']) {
    it(`offers the question on images, and on images only, in ${menu}`, () => {
      const { when } = manifest.contributes.menus[menu]!.find(
        ({ command }) => command === 'avis.ask',
      )!;
      const [, source, flags] = /(?:^|&& )resourceExtname =~ \/(.*)\/(\w*)$/.exec(when)!;
      const matches = new RegExp(source!, flags);
      for (const extname of ['.png', '.jpg', '.JPEG', '.webp', '.gif', '.tiff', '.avif']) {
        assert.match(extname, matches);
      }
      for (const extname of ['.txt', '.json', '.svg', '.pngx', '']) {
        assert.doesNotMatch(extname, matches);
      }
    });
  }

  it('takes no model from the settings of an untrusted workspace', () => {
    const { untrustedWorkspaces, virtualWorkspaces } = manifest.capabilities;
    assert.equal(untrustedWorkspaces.supported, 'limited');
    assert.ok(untrustedWorkspaces.restrictedConfigurations.includes('avis.model.path'));
    assert.equal(virtualWorkspaces, true);
  });

  it('has a value for each of its settings', () => {
    const settings = vscode.workspace.getConfiguration();
    for (const { properties } of manifest.contributes.configuration) {
      for (const name of Object.keys(properties)) {
        assert.notEqual(settings.get(name), undefined, name);
      }
    }
  });
});
