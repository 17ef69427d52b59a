import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text as streamText } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { buildConfig } from '../../../src/avis/config';
import { sampleModel, sampleResult } from '../avis/sampleRun';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const bundle = join(root, 'out/ask.mjs');
const checkpoint = join(root, 'test/fixtures/checkpoints/qwen2_5_vl-tiny-fused');
const embedded = join(root, 'media/model');
const picture = join(root, 'test/fixtures/images/wide.png');
/** Enough to have rollouts, few enough to be quick. */
const short = ['--max-new-tokens', '8', '--device', 'cpu'];

let folder: string;

interface Finished {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** @param user runs it without the privileges of root, where the tests have them */
function ask(args: string[], { user = false, model = checkpoint, input = '' } = {}): Finished {
  const unprivileged = user && process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
  return spawnSync(process.execPath, [bundle, '--model', model, ...args], {
    encoding: 'utf8',
    input,
    env: { ...process.env, XDG_CACHE_HOME: join(folder, 'cache'), NO_COLOR: '1' },
    ...unprivileged,
  });
}

/** A sentence on standard error, nothing on standard output. */
function assertRefused(result: Finished, message: RegExp, status = 2): void {
  assert.match(result.stderr, message);
  assert.match(result.stderr, /^ask: [^\n]+\n$/, 'not one line');
  assert.equal(result.stdout, '');
  assert.equal(result.status, status);
}

/** A copy of the checkpoint to be damaged. */
function damagedCheckpoint(name: string, damage: (copy: string) => void): string {
  const copy = join(folder, name);
  cpSync(checkpoint, copy, { recursive: true });
  damage(copy);
  return copy;
}

describe('ask', function () {
  this.timeout(120_000);

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'avis-ask-'));
    chmodSync(folder, 0o777);
    // Builds the bundle where that is due.
    const built = spawnSync(
      process.execPath,
      [join(root, 'test/scripts/askFromSource.mjs'), '--help'],
      {
        encoding: 'utf8',
      },
    );
    assert.equal(built.status, 0, built.stderr);
    assert.match(built.stdout, /^Usage: ask /);
  });

  after(() => rmSync(folder, { recursive: true, force: true }));

  it('prints one JSON object and nothing else', () => {
    const args = ['--rollouts', '3', '--prune', '0.5', '--seed', '7', '--json', ...short];
    const { status, stdout, stderr } = ask([...args, picture, 'What is shown in the picture?']);
    assert.equal(stderr, '');
    assert.equal(status, 0);
    const output = JSON.parse(stdout) as {
      question: string;
      device: string;
      image: { width: number; height: number };
      rollouts: { tokens: number; ms: number; stopped: string }[];
      visual: { total: number; kept: number; grid: number[]; scores: number[]; keep: number[] };
      compute: { flops: { total: number; vanilla: number }; saved: number };
      ms: Record<string, number>;
      settings: { seed: number };
    };
    assert.equal(stdout.trimEnd().includes('\n'), false);
    assert.equal(output.question, 'What is shown in the picture?');
    const { width, height } = output.image;
    assert.ok(width > 0 && height > 0);
    assert.equal(output.rollouts.length, 3);
    assert.ok(output.rollouts.every(({ tokens }) => tokens > 0 && tokens <= 8));
    const { total, kept, grid, scores, keep } = output.visual;
    assert.equal(grid[0]! * grid[1]!, total);
    assert.equal(scores.length, total);
    assert.equal(keep.length, kept);
    assert.equal(kept, Math.trunc(total * 0.5));
    assert.ok(output.compute.flops.total > 0);
    assert.equal(output.settings.seed, 7);
    for (const [stage, elapsedMs] of Object.entries(output.ms)) {
      assert.ok(elapsedMs >= 0 && elapsedMs <= output.ms['total']!, stage);
    }
    assert.equal(output.device, 'cpu');
  });

  it('says the same for the same seed, and something else for another', () => {
    const texts = [1, 1, 2].map((seed) => {
      const args = ['--rollouts', '4', '--temperature', '2', '--seed', String(seed), '--json'];
      const { stdout } = ask([...args, ...short, picture, 'What?']);
      const { rollouts } = JSON.parse(stdout) as { rollouts: { text: string }[] };
      return rollouts.map(({ text }) => text);
    });
    assert.deepEqual(texts[0], texts[1]);
    assert.notDeepEqual(texts[0], texts[2]);
  });

  it('prints a report for people without --json', () => {
    const { status, stdout, stderr } = ask(['--rollouts', '2', ...short, picture, 'What?']);
    assert.equal(status, 0);
    assert.equal(stderr, '');
    for (const part of ['Answer', 'Rollout  2', 'visual tokens kept', 'Compute', 'on cpu']) {
      assert.ok(stdout.includes(part), part);
    }
  });

  for (const [what, args] of [
    ['an answer', ['--json', ...short, picture, 'What?']],
    ['the help', ['--help']],
  ] as const) {
    it(`ends quietly when the reader of ${what} has gone`, async () => {
      const child = spawn(process.execPath, [bundle, '--model', checkpoint, ...args], {
        env: { ...process.env, XDG_CACHE_HOME: join(folder, 'cache') },
      });
      child.stdout.destroy();
      const [stderr, [status]] = await Promise.all([streamText(child.stderr), once(child, 'exit')]);
      assert.equal(stderr, '');
      assert.equal(status, 0);
    });
  }

  it('applies a configuration file, which other options override', () => {
    const file = join(folder, 'mine.avis.json');
    const config = buildConfig(sampleModel, {
      ...sampleResult,
      settings: {
        ...sampleResult.settings,
        prune: { mode: 'fixed', ratio: 0.75 },
        rollouts: { mode: 'fixed', k: 2 },
        maxNewTokens: 5,
      },
    });
    writeFileSync(file, JSON.stringify(config));
    const { stdout, stderr } = ask(['--config', file, '--seed', '3', '--json', picture, 'What?']);
    assert.equal(stderr, '');
    assert.deepEqual((JSON.parse(stdout) as { settings: unknown }).settings, {
      ...config.settings,
      seed: 3,
    });
  });

  for (const [what, question] of [
    ['right-to-left', 'ما هو لون السيارة؟'],
    ['emoji', '🐈‍⬛ or 🐕? 👩‍👩‍👧'],
    ['many-line', 'First line.\nSecond line?'],
  ] as const) {
    it(`answers a ${what} question`, () => {
      for (const { status, stdout } of [
        ask(['--json', ...short, picture, question]),
        ask(['--json', ...short, picture, '-'], { input: question }),
      ]) {
        assert.equal(status, 0);
        assert.equal((JSON.parse(stdout) as { question: string }).question, question);
      }
    });
  }

  for (const [prune, rollouts] of [
    ['0', '1'],
    ['0.99', '16'],
  ] as const) {
    it(`answers at ρ = ${prune} and K = ${rollouts}`, () => {
      const args = ['--prune', prune, '--rollouts', rollouts, '--json', ...short];
      const { status, stdout } = ask([...args, picture, 'What?']);
      assert.equal(status, 0);
      const output = JSON.parse(stdout) as {
        rollouts: unknown[];
        visual: { total: number; kept: number };
      };
      assert.equal(output.rollouts.length, Number(rollouts));
      assert.equal(output.visual.kept, prune === '0' ? output.visual.total : 1);
    });
  }

  it('answers about a picture of 1 × 1', async () => {
    const file = join(folder, 'dot.png');
    await sharp({ create: { width: 1, height: 1, channels: 3, background: '#f00' } }).toFile(file);
    assert.equal(ask([...short, file, 'What?']).status, 0);
  });

  describe('refuses in one line with exit status 2', () => {
    const inputs: [string, () => string, RegExp][] = [
      ['a missing image', () => join(folder, 'none.png'), /There is no file .*none\.png/],
      ['a folder', () => folder, /is a folder/],
      ['an empty image', () => written('empty.png', ''), /empty\.png is empty/],
      ['something else', () => written('notes.png', 'Not a picture.'), /notes\.png can't be read/],
      [
        'a truncated image',
        () => {
          const file = join(folder, 'truncated.png');
          copyFileSync(picture, file);
          truncateSync(file, Math.floor(readFileSync(picture).length / 2));
          return file;
        },
        /truncated\.png is damaged or cut off/,
      ],
    ];
    for (const [what, file, message] of inputs) {
      it(what, () => assertRefused(ask([file(), 'What?']), message));
    }

    it('an image that may not be read', () => {
      const file = written('secret.png', 'secret');
      chmodSync(file, 0o000);
      assertRefused(
        ask([file, 'What?'], { user: true }),
        /secret\.png can't be read: permission denied/,
      );
    });

    it('a picture of 20,000 × 20,000, from its header alone', async () => {
      const file = join(folder, 'bomb.png');
      await sharp({
        create: { width: 20_000, height: 20_000, channels: 3, background: '#000' },
        limitInputPixels: false,
      })
        .png({ compressionLevel: 9 })
        .toFile(file);
      assertRefused(ask([file, 'What?']), /bomb\.png has 20000 × 20000 pixels/);
    });

    it('a question of 100,000 characters, as an argument and on standard input', () => {
      const input = 'why '.repeat(25_000);
      assertRefused(ask([picture, input]), /the question has 100000 characters/);
      assertRefused(
        ask([picture, '-'], { model: embedded, input }),
        /question is too long: .* tokens/,
      );
    });

    it('an empty question', () => {
      assertRefused(ask([picture, '']), /the question is empty/);
      assertRefused(ask([picture, '-'], { input: '\n' }), /The question is empty/);
    });

    it('wrong usage', () => {
      assertRefused(ask([picture]), /QUESTION is missing\. See --help/);
      assertRefused(ask(['--prune', '2', picture, 'What?']), /--prune is 2/);
    });

    it('a configuration with an error, with its path', () => {
      const config = buildConfig(sampleModel, sampleResult);
      const file = written('bad.avis.json', JSON.stringify({ ...config, schemaVersion: 3 }));
      assertRefused(
        ask(['--config', file, picture, 'What?']),
        /bad\.avis\.json .*\$\.schemaVersion is 3/,
      );
    });

    const models: [string, (copy: string) => void, RegExp][] = [
      ['no folder', (copy) => rmSync(copy, { recursive: true }), /There is no checkpoint folder/],
      ['no config.json', (copy) => rmSync(join(copy, 'config.json')), /has no config\.json/],
      ['no tokenizer', (copy) => rmSync(join(copy, 'tokenizer.json')), /has no tokenizer\.json/],
      [
        'no vision encoder',
        (copy) => rmSync(join(copy, 'onnx/vision_encoder.onnx')),
        /vision_encoder/,
      ],
      [
        'a truncated graph',
        (copy) => truncateSync(join(copy, 'onnx/decoder_model_merged.onnx'), 5000),
        /decoder_model_merged\.onnx is cut off/,
      ],
      [
        'a graph of another model',
        (copy) =>
          copyFileSync(
            join(root, 'media/model/onnx/decoder_model_merged.onnx'),
            join(copy, 'onnx/decoder_model_merged.onnx'),
          ),
        /decoder_model_merged\.onnx/,
      ],
    ];
    for (const [what, damage, message] of models) {
      it(`a checkpoint with ${what}`, () => {
        const model = damagedCheckpoint(what.replaceAll(' ', '-'), damage);
        assertRefused(ask([...short, picture, 'What?'], { model }), message);
      });
    }
  });

  it('answers with the embedded model where no cache folder can be made', () => {
    const { status, stderr } = spawnSync(process.execPath, [bundle, ...short, picture, 'What?'], {
      encoding: 'utf8',
      env: { ...process.env, XDG_CACHE_HOME: join(picture, 'nowhere') },
    });
    assert.equal(stderr, '');
    assert.equal(status, 0);
  });

  it('stops at Ctrl+C with one line', async () => {
    const child = spawn(
      process.execPath,
      [bundle, '--model', checkpoint, '--max-new-tokens', '16384', picture, 'What?'],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    let stderr = '';
    child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
    setTimeout(() => child.kill('SIGINT'), 1500);
    const status = await new Promise((resolve) => child.on('exit', resolve));
    assert.equal(status, 1);
    assert.match(stderr, /^ask: [^\n]*[Cc]anceled[^\n]*\n$/);
  });
});

function written(name: string, content: string): string {
  const file = join(folder, name);
  writeFileSync(file, content);
  return file;
}
