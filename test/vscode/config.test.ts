import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import Ajv from 'ajv';
import * as vscode from 'vscode';
import type { AvisConfig } from '../../src/avis/config';
import type { AvisApi } from '../../src/host/avisApi';
import { closePanels, extension, inWorkspace, quickSettings, samples } from './extension';

describe('configurations', () => {
  let api: AvisApi;
  const { file, question } = samples()[0]!;
  const image = inWorkspace(file);
  const target = inWorkspace('tuned.avis.json');
  const readTarget = () => JSON.parse(readFileSync(target.fsPath, 'utf8')) as AvisConfig;

  before(async () => {
    api = await extension.activate();
    await api.askImage(image, question, quickSettings);
    await api.exportConfig(image, target);
  });
  after(closePanels);

  it('are exported as the published schema says, with the evidence of that run', () => {
    const config = readTarget();
    const schema = JSON.parse(
      readFileSync(join(extension.extensionPath, 'media/avis-config.schema.json'), 'utf8'),
    ) as object;
    const validate = new Ajv({ strict: false }).compile(schema);
    assert.ok(validate(config), JSON.stringify(validate.errors));
    const { result } = api.runs(image)[0]!;
    assert.deepEqual(config.settings, quickSettings);
    assert.equal(config.evidence.question, question);
    assert.equal(config.evidence.answer, result.vote.answer);
    assert.deepEqual(config.evidence.visualTokens, {
      total: result.visual.total,
      kept: result.visual.kept,
      pruneRatio: result.visual.pruneRatio,
    });
    assert.ok(Object.keys(config.model.fileHashes).length > 0);
  });

  it('come back as they went', async () => {
    await api.askImage(image, question, { ...quickSettings, seed: 9, topP: 0.5 });
    await api.applyConfig(target, image);
    const result = await api.askImage(image, question);
    assert.deepEqual(result.settings, quickSettings);
  });

  const broken: { name: string; text: () => string; message: RegExp }[] = [
    {
      name: 'a value out of range',
      text: () => {
        const config = readTarget();
        config.settings.temperature = 99;
        return JSON.stringify(config);
      },
      message: /broken\.avis\.json.*\$\.settings\.temperature/s,
    },
    {
      name: 'an unknown schema version',
      text: () => JSON.stringify({ ...readTarget(), schemaVersion: 2 }),
      message: /broken\.avis\.json.*\$\.schemaVersion/s,
    },
    {
      name: 'cut JSON',
      text: () => JSON.stringify(readTarget()).slice(0, 100),
      message: /broken\.avis\.json isn't JSON/,
    },
  ];
  for (const { name, text, message } of broken) {
    it(`${name}: refused with the path and the reason, the levers stay`, async () => {
      const uri = inWorkspace('broken.avis.json');
      await writeText(uri, text());
      await assert.rejects(api.applyConfig(uri, image), message);
      const result = await api.askImage(image, question);
      assert.deepEqual(result.settings, quickSettings);
    });
  }

  it('VS Code itself checks *.avis.json against the schema', async () => {
    const uri = inWorkspace('checked.avis.json');
    await writeText(uri, '{ "schemaVersion": 1, "settings": { "temperature": 99 } }');
    const published = new Promise<vscode.Diagnostic[]>((resolve) => {
      const subscription = vscode.languages.onDidChangeDiagnostics(() => {
        const diagnostics = vscode.languages.getDiagnostics(uri);
        if (diagnostics.length === 0) return;
        subscription.dispose();
        resolve(diagnostics);
      });
    });
    await vscode.window.showTextDocument(uri);
    const messages = (await published).map(({ message }) => message).join('\n');
    assert.match(messages, /temperature|maximum|Missing property/i);
  });

  it(
    'a full disk is said, and the run stays',
    process.platform === 'linux'
      ? async () => {
          await assert.rejects(
            api.exportConfig(image, vscode.Uri.file('/dev/full')),
            /full can’t be written/,
          );
          assert.ok(api.runs(image).length > 0);
        }
      : async () => {
          await assert.rejects(
            api.exportConfig(image, vscode.Uri.joinPath(image, 'inside.avis.json')),
            /inside\.avis\.json can’t be written/,
          );
          assert.ok(api.runs(image).length > 0);
        },
  );
});

async function writeText(uri: vscode.Uri, text: string): Promise<void> {
  await vscode.workspace.fs.writeFile(uri, new TextEncoder().encode(text));
}
