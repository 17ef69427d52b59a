import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { deepStrictEqual, ok, rejects, strictEqual } from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { arrangeKeys, type KeyTensor, mergeKeys, tapVisionKeys } from '../../../src/engine/keyTap';
import { ModelProtoSchema } from '../../../src/engine/onnxSchema';
import { AvisError } from '../../../src/shared/errors';
import { fixtures, relativeError } from './reference';

const folder = join(fixtures, 'attention');
const { x, shape, keys, notOnCpu } = JSON.parse(
  readFileSync(join(folder, 'expected.json'), 'utf8'),
) as {
  x: number[];
  shape: { batch: number; heads: number; tokens: number; headDim: number };
  keys: Record<string, number[] | null>;
  notOnCpu: string[];
};
const { batch, heads, tokens, headDim } = shape;
const input = () => ({
  x: new Tensor('float32', Float32Array.from(x), [batch, tokens, heads * headDim]),
});
const sha256 = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex');

describe('key tap', () => {
  let cacheFolder: string;
  before(() => {
    cacheFolder = mkdtempSync(join(tmpdir(), 'avis-key-tap-'));
  });
  after(() => {
    rmSync(cacheFolder, { recursive: true });
  });

  async function tapped(graphPath: string) {
    const tap = await tapVisionKeys(graphPath, cacheFolder);
    if (!tap || 'reason' in tap) throw new Error(tap?.reason ?? 'has keys');
    const extra = {
      'session.model_external_initializers_file_folder_path': tap.externalDataFolder,
    };
    return { tap, session: await InferenceSession.create(tap.graphPath, { extra }) };
  }

  /** The CPU has no kernel for the attention itself: it is taken out, what the tap added stays. */
  async function tappedWithoutAttention(graphPath: string) {
    const tap = await tapVisionKeys(graphPath, cacheFolder);
    if (!tap || 'reason' in tap) throw new Error(tap?.reason ?? 'has keys');
    const model = fromBinary(ModelProtoSchema, readFileSync(tap.graphPath));
    const graph = model.graph!;
    const attention = graph.node.find(({ opType }) => opType.endsWith('MultiHeadAttention'))!;
    graph.node = graph.node.filter(
      (node) => node !== attention && !node.input.includes(attention.output[0]!),
    );
    graph.output = graph.output.filter(({ name }) => name === tap.outputName);
    return { tap, session: await InferenceSession.create(toBinary(ModelProtoSchema, model)) };
  }

  for (const [pattern, expected] of Object.entries(keys)) {
    const graphPath = join(folder, `${pattern}.onnx`);
    if (!expected) continue;

    it(`finds the keys of ${pattern}`, async () => {
      const before = sha256(graphPath);
      const { tap, session } = notOnCpu.includes(pattern)
        ? await tappedWithoutAttention(graphPath)
        : await tapped(graphPath);
      const outputs = await session.run(input(), [tap.outputName]);
      const { data, dims } = outputs[tap.outputName]!;
      const found = arrangeKeys(data as Float32Array, dims, tap.layout, batch);
      const want = { ...shape, values: Float32Array.from(expected) };
      ok(relativeError(inOneRow(found), inOneRow(want)) < 1e-6, 'keys');
      strictEqual(found.heads, heads);

      if (!notOnCpu.includes(pattern)) {
        const original = await InferenceSession.create(graphPath);
        const { out } = await original.run(input());
        const { out: same } = await session.run(input());
        ok(relativeError(same!.data as Float32Array, out!.data as Float32Array) < 1e-6, 'output');
      }
      strictEqual(sha256(graphPath), before, 'the original file changed');
    });
  }

  const reasons = {
    none_convolution: /neither MatMul → Softmax → MatMul .* nor a fused attention/,
    none_rotary_inside: /applies the rotary embedding inside/,
    none_computed_mask: /no MatMul or Einsum of queries and keys/,
  };
  for (const [pattern, reason] of Object.entries(reasons)) {
    it(`says what it looked for in ${pattern}`, async () => {
      const tap = await tapVisionKeys(join(folder, `${pattern}.onnx`), cacheFolder);
      ok(tap && 'reason' in tap);
      ok(reason.test(tap.reason), tap.reason);
    });
  }

  it('keeps the edited graph small when the weights lie beside the graph', async () => {
    const { tap } = await tapped(join(folder, 'external_data.onnx'));
    const graphBytes = statSync(join(folder, 'external_data.onnx')).size;
    ok(statSync(tap.graphPath).size < graphBytes + 500);
  });

  it('caches by content, and makes a cached graph anew that was cut off', async () => {
    const graphPath = join(folder, 'decomposed.onnx');
    const { tap } = await tapped(graphPath);
    const files = readdirSync(cacheFolder).length;
    const { tap: again } = await tapped(graphPath);
    strictEqual(again.graphPath, tap.graphPath);
    strictEqual(readdirSync(cacheFolder).length, files);
    const bytes = readFileSync(tap.graphPath);
    writeFileSync(tap.graphPath, bytes.subarray(0, bytes.length / 2));
    await tapped(graphPath);
    strictEqual(statSync(tap.graphPath).size, bytes.length);
  });

  it('keeps the edited graphs that were used last, and nothing that was left unfinished', async () => {
    const bounded = join(cacheFolder, 'bounded');
    const use = async (pattern: string) => {
      const tap = await tapVisionKeys(join(folder, `${pattern}.onnx`), bounded);
      ok(tap && 'graphPath' in tap);
      return basename(tap.graphPath);
    };
    const first = await use('decomposed');
    const unfinished = `${first}.1.tmp`;
    writeFileSync(join(bounded, unfinished), '');
    writeFileSync(join(bounded, 'fileHashes.json'), '{}');
    const setTime = (name: string, minutes: number) => {
      utimesSync(join(bounded, name), 60 * minutes, 60 * minutes);
    };
    const patterns = Object.keys(keys).filter((name) => keys[name] && name !== 'decomposed');
    const others: string[] = [];
    for (const [i, pattern] of patterns.slice(0, 3).entries()) {
      const name = await use(pattern);
      setTime(name, 10 + i);
      others.push(name);
    }
    setTime(first, 1);
    setTime(unfinished, 2);
    strictEqual(await use('decomposed'), first); // used again, so no longer the oldest
    const last = await use(patterns[3]!);
    deepStrictEqual(
      readdirSync(bounded).sort(),
      [first, others[1]!, others[2]!, last, 'fileHashes.json'].sort(),
    );
  });

  it('names a file that is no ONNX graph', async () => {
    const broken = join(cacheFolder, 'broken.onnx');
    writeFileSync(broken, readFileSync(join(folder, 'decomposed.onnx')).subarray(0, 300));
    await rejects(
      tapVisionKeys(broken, cacheFolder),
      (error: AvisError) =>
        error.code === 'badModel' && /broken\.onnx is cut off/.test(error.message),
    );
    await rejects(tapVisionKeys(join(cacheFolder, 'gone.onnx'), cacheFolder), /can't be read/);
  });

  it('says where it could not write', async () => {
    const notAFolder = join(cacheFolder, 'file');
    writeFileSync(notAFolder, '');
    await rejects(
      tapVisionKeys(join(folder, 'decomposed.onnx'), notAFolder),
      /can't be written to .*file\. Make room there/,
    );
  });

  it('leaves a graph alone that gives its keys itself', async () => {
    strictEqual(await tapVisionKeys(join(folder, 'decomposed.onnx'), cacheFolder, 'out'), null);
  });

  it('averages the patches of a token and leaves padding out', () => {
    // Two heads, five keys of one feature; token 0 from keys 3 and 1, token 1 from 0 and 2, key 4 padding.
    const values = Float32Array.of(1, 2, 3, 4, 99, 10, 20, 30, 40, 99);
    const tensor = { values, batch: 1, heads: 2, tokens: 5, headDim: 1 };
    const merged = mergeKeys(tensor, Int32Array.of(1, 0, 1, 0, -1), 2);
    strictEqual([...merged].join(), '3,2,30,20');
    throwsBadModel(() => mergeKeys(tensor, Int32Array.of(0, 1), 2), /has 5 keys where .* has 2/);
  });

  it('refuses a shape that does not divide', () => {
    throwsBadModel(
      () => arrangeKeys(new Float32Array(30), [1, 5, 6], { kind: 'byRank', heads: 4 }, 1),
      /\[1, 5, 6\]/,
    );
  });
});

/** [heads, sequences · tokens, headDim]: some graphs join the sequences. */
function inOneRow(found: KeyTensor): Float32Array {
  const keys = found.batch * found.tokens;
  return mergeKeys(
    found,
    Int32Array.from({ length: keys }, (_, i) => i),
    keys,
  );
}

function throwsBadModel(run: () => unknown, message: RegExp) {
  try {
    run();
  } catch (error) {
    ok(error instanceof AvisError && error.code === 'badModel' && message.test(error.message));
    return;
  }
  throw new Error('nothing was thrown');
}
