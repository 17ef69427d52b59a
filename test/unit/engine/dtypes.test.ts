import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { deepStrictEqual, match, ok, strictEqual } from 'node:assert/strict';
import { cpSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { keepVisualTokens } from '../../../src/avis/kdv';
import { decodeImage } from '../../../src/engine/image';
import { loadModel } from '../../../src/engine/model';
import { ModelProtoSchema } from '../../../src/engine/onnxSchema';
import { plainCheckpoint, temporaryFolder } from './models';
import { fixtureImage, fixtures, readReference, relativeError } from './reference';

/** Made by test/fixtures/makeCheckpointDtypes.py from qwen2_5_vl-tiny; fp32 has external data. */
const folder = join(fixtures, 'checkpoints/qwen2_5_vl-tiny-dtypes');
const reference = readReference('qwen2_5_vl-tiny');

async function encodeWith(checkpoint: string, dtype: string, cacheFolder: string) {
  const model = await loadModel(
    { folder: checkpoint, device: 'cpu', dtype, cacheFolder },
    () => {},
  );
  const { bytes, name } = fixtureImage('wide');
  const image = model.family.prepareImage(await decodeImage(bytes, name));
  const { visual } = await model.vision.encode(image);
  await model.release();
  return { visual, info: model.info };
}

describe('dtype variants', function () {
  this.timeout(30_000);
  const cacheFolder = temporaryFolder();
  const features = reference.tensor('wide.features.0').values;
  const scores = reference.tensor('wide.scores.0').values;

  /** How far random weights may move: half precision rounds at 2⁻¹¹, int8 of tiny layers at some per cent. */
  const bounds: Record<string, { features: number; scores: number }> = {
    fp32: { features: 1e-3, scores: 1e-3 },
    fp16: { features: 2e-2, scores: 5e-3 },
    int8: { features: 0.3, scores: 0.1 },
    q4: { features: 1e-3, scores: 1e-3 }, // its Gemm nodes stay in fp32
  };
  for (const [dtype, bound] of Object.entries(bounds)) {
    it(`${dtype} gives the keys`, async () => {
      const { visual, info } = await encodeWith(folder, dtype, cacheFolder);
      deepStrictEqual(new Set(Object.values(info.dtypes)), new Set([dtype]));
      strictEqual(visual.scoreSource, 'visionKeys');
      const featureError = relativeError(visual.features, features);
      ok(featureError < bound.features, `features off by ${featureError}`);
      const scoreError = relativeError(visual.scores, scores);
      ok(scoreError < bound.scores, `scores off by ${scoreError}`);
      const warned = info.warnings.some((warning) => /quantized weights distort/.test(warning));
      strictEqual(warned, dtype === 'int8' || dtype === 'q4');
    });
  }

  it('takes the finest vision encoder and the smallest decoder for the CPU by itself', async () => {
    const { info } = await encodeWith(folder, 'auto', cacheFolder);
    strictEqual(info.dtypes['vision_encoder'], 'fp32');
    strictEqual(info.dtypes['decoder_model_merged'], 'q4');
  });

  it('takes the grid under another name', async () => {
    const checkpoint = join(cacheFolder, 'renamed');
    cpSync(plainCheckpoint, checkpoint, { recursive: true });
    const path = join(checkpoint, 'onnx/vision_encoder.onnx');
    const renamed = readFileSync(path, 'latin1').replaceAll('image_grid_thw', 'grid_of_images');
    writeFileSync(path, renamed, 'latin1');
    const { visual } = await encodeWith(checkpoint, 'auto', cacheFolder);
    ok(relativeError(visual.features, features) < 1e-3);
  });

  it('keeps external data where it is', () => {
    const graph = join(folder, 'onnx/vision_encoder.onnx');
    const weights = statSync(`${graph}_data`).size;
    const sizes = readdirSync(cacheFolder)
      .filter((file) => file.endsWith('.onnx'))
      .map((file) => statSync(join(cacheFolder, file)).size);
    ok(sizes.some((size) => size > statSync(graph).size && size < statSync(graph).size + 500));
    ok(weights > 5 * statSync(graph).size);
  });
});

describe('a vision graph without keys', () => {
  const cacheFolder = temporaryFolder();

  it('falls back to KeyDiff on the merged embeddings, and says so', async () => {
    const checkpoint = join(cacheFolder, 'checkpoint');
    cpSync(plainCheckpoint, checkpoint, { recursive: true });
    const path = join(checkpoint, 'onnx/vision_encoder.onnx');
    const model = fromBinary(ModelProtoSchema, readFileSync(path));
    for (const node of model.graph!.node) {
      if (node.opType === 'Softmax') node.opType = 'Hardmax'; // attention of a kind that is not known
    }
    writeFileSync(path, toBinary(ModelProtoSchema, model));

    const { visual, info } = await encodeWith(checkpoint, 'auto', cacheFolder);
    strictEqual(info.scoreSource, 'mergedEmbeddings');
    match(
      info.warnings.join(' '),
      /No vision keys were found: it has neither MatMul → Softmax → MatMul .* KeyDiff on the merged embeddings/,
    );
    strictEqual(keepVisualTokens(visual.scores, { mode: 'fixed', ratio: 0.5 }).length, 10);
    rmSync(checkpoint, { recursive: true });
  });

  it('falls back likewise where onnxruntime refuses the graph with its keys', async () => {
    const checkpoint = join(cacheFolder, 'refused');
    cpSync(plainCheckpoint, checkpoint, { recursive: true });
    const path = join(checkpoint, 'onnx/vision_encoder.onnx');
    const { features } = (await encodeWith(checkpoint, 'auto', cacheFolder)).visual;
    // The graph has a tensor of the name that the keys are to get.
    const model = fromBinary(ModelProtoSchema, readFileSync(path));
    const [first] = model.graph!.node;
    const renamed = first!.output[0]!;
    for (const node of model.graph!.node) {
      node.input = node.input.map((name) => (name === renamed ? 'avis_vision_keys' : name));
      node.output = node.output.map((name) => (name === renamed ? 'avis_vision_keys' : name));
    }
    writeFileSync(path, toBinary(ModelProtoSchema, model));
    const edited = readdirSync(cacheFolder);

    const { visual, info } = await encodeWith(checkpoint, 'auto', cacheFolder);
    strictEqual(info.scoreSource, 'mergedEmbeddings');
    match(
      info.warnings.join(' '),
      /The vision keys can't be had: with them among its outputs, onnx\/vision_encoder\.onnx can't be loaded: .*avis_vision_keys.*\. Tokens are scored by KeyDiff on the merged embeddings/,
    );
    ok(relativeError(visual.features, features) < 1e-6);
    deepStrictEqual(readdirSync(cacheFolder), edited); // the refused one is not kept
    rmSync(checkpoint, { recursive: true });
  });
});
