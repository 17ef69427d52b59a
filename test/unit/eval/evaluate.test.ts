import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, watch } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Measurement } from '../../eval/measurements';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const set = join(root, 'test/fixtures/eval');

describe('npm run eval', function () {
  this.timeout(180_000);
  let out: string;

  before(() => (out = mkdtempSync(join(tmpdir(), 'avis-eval-'))));
  after(() => rmSync(out, { recursive: true }));

  /** @param interrupt sends Ctrl+C once something was measured */
  async function evaluate({ interrupt }: { interrupt: boolean }) {
    const child = spawn(
      process.execPath,
      [
        '--import',
        'tsx',
        'test/eval/evaluate.ts',
        '--items',
        '2',
        '--timed',
        '2',
        '--set',
        set,
      ].concat(['--out', out]),
      { cwd: root },
    );
    const watcher = interrupt
      ? watch(out, () => measurements().length > 3 && child.kill('SIGINT'))
      : null;
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (data: Buffer) => (stdout += data.toString()));
    child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
    const status = await new Promise((resolve) => child.on('close', resolve));
    watcher?.close();
    return { status, stdout, stderr };
  }

  function measurements(): Measurement[] {
    const file = readdirSync(out).find((name) => name.endsWith('.jsonl'));
    if (!file) return [];
    const lines = readFileSync(join(out, file), 'utf8').split('\n').filter(Boolean);
    return lines.map((line) => JSON.parse(line) as Measurement);
  }

  it('stops at Ctrl+C, goes on from there, and measures nothing twice', async () => {
    const interrupted = await evaluate({ interrupt: true });
    assert.equal(interrupted.status, 1, interrupted.stderr);
    assert.match(interrupted.stderr, /Interrupted\. The same command goes on from here\./);
    const before = measurements();
    assert.ok(before.length > 3);
    assert.equal(existsSync(join(out, 'evaluation.json')), false);

    const finished = await evaluate({ interrupt: false });
    assert.equal(finished.status, 0, finished.stderr);
    const after = measurements();
    assert.deepEqual(after.slice(0, before.length), before);
    const keys = after.map(({ item, arm }) => `${item} ${arm}`);
    assert.equal(new Set(keys).size, keys.length);

    const again = await evaluate({ interrupt: false });
    assert.equal(again.stdout, finished.stdout);
    assert.equal(measurements().length, after.length);
  });

  it('prints the table and writes the figures', () => {
    const evaluation = JSON.parse(readFileSync(join(out, 'evaluation.json'), 'utf8')) as {
      items: number;
      rows: { name: string }[];
      wallMs: Record<string, number>;
    };
    assert.equal(evaluation.items, 2);
    assert.equal(evaluation.rows[0]!.name, 'vanilla');
    assert.ok(evaluation.wallMs['AVIS']! > 0);
    for (const figure of ['heatmap', 'scatter', 'pruners', 'rollouts']) {
      assert.match(readFileSync(join(out, `${figure}.svg`), 'utf8'), /^<svg /);
    }
  });
});
