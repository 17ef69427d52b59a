import { deepStrictEqual, ok } from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { fusedCheckpoint } from './models';

const session = join(import.meta.dirname, '../../../src/engine/session.ts');
const script = `
  const { GraphSession } = await import(${JSON.stringify(session)});
  const graph = await GraphSession.create(process.argv[1], 'The graph', {});
  await graph.release();
  await new Promise((resolve) => setTimeout(resolve, 500));
`;

describe("onnxruntime's telemetry", () => {
  let home: string;
  before(() => (home = mkdtempSync(join(tmpdir(), 'avis-telemetry-'))));
  after(() => rmSync(home, { recursive: true, force: true }));

  it('is off: no device id, no event store, no log', async () => {
    const temporary = mkdtempSync(join(home, 'tmp-'));
    const { CI: _, ...env } = process.env; // it would be off there by itself
    const graph = join(fusedCheckpoint, 'onnx', 'embed_tokens.onnx');
    await promisify(execFile)(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '-e', script, graph],
      { env: { ...env, HOME: home, XDG_CACHE_HOME: join(home, '.cache'), TMPDIR: temporary } },
    );
    ok(!existsSync(join(home, '.cache')), 'wrote to the home folder');
    deepStrictEqual(
      readdirSync(temporary).filter((name) => !name.startsWith('tsx-')),
      [],
    );
  });
});
