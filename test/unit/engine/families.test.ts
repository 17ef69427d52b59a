import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Tensor } from 'onnxruntime-node';
import { keepVisualTokens } from '../../../src/avis/kdv';
import type { PreparedImage } from '../../../src/engine/families/family';
import { decodeImage } from '../../../src/engine/image';
import { loadModel, type Model } from '../../../src/engine/model';
import { buildPrompt, prunePrompt } from '../../../src/engine/prompt';
import { readPreparedPixels } from './preparedPixels';
import { fixtureImage, readReference, relativeError } from './reference';

/** Relative to the largest value; both sides compute in fp32, in another order. */
const tolerance = 1e-3;

const checkpoints = [
  'qwen2_5_vl-tiny',
  'qwen2_5_vl-tiny-fused',
  'qwen2_vl-tiny',
  'qwen2_vl-tiny-fused',
  'qwen3_vl-tiny',
  'qwen3_vl-tiny-fused',
  'smolvlm-tiny',
  'smolvlm-tiny-fused',
  'idefics3-tiny',
  'idefics3-tiny-fused',
  'lfm2_vl-tiny',
  'lfm2_vl-tiny-fused',
];

describe('parity with PyTorch', function () {
  this.timeout(60_000);
  for (const checkpoint of checkpoints) {
    const reference = readReference(checkpoint);

    describe(checkpoint, () => {
      let cacheFolder: string;
      let model: Model;
      before(async () => {
        cacheFolder = mkdtempSync(join(tmpdir(), 'avis-parity-'));
        const { folder } = reference;
        model = await loadModel({ folder, device: 'cpu', dtype: 'auto', cacheFolder }, () => {});
      });
      after(async () => {
        await model.release();
        rmSync(cacheFolder, { recursive: true });
      });

      it('scores with the keys of the last vision block', () => {
        strictEqual(model.info.scoreSource, 'visionKeys');
      });

      for (const [name, expected] of Object.entries(reference.cases)) {
        it(`${name}: ${expected.images.join(' and ')}`, async () => {
          const { family, vision, decoder, checkpoint } = model;
          const images: PreparedImage[] = [];
          for (const image of expected.images) {
            const { name, bytes } = fixtureImage(image);
            const rgb = await decodeImage(bytes, name);
            const prepared = family.prepareImage(rgb);
            const { gridThw, visualTokens } = prepared;
            deepStrictEqual(family.measureImage(rgb.width, rgb.height), { gridThw, visualTokens });
            images.push(prepared);
          }
          const pixels = images.flatMap((image) => readPreparedPixels(image, checkpoint));
          strictEqual(differences(pixels, reference.tensor(`${name}.pixels`).values), 'none');

          images.forEach(checkRegions);

          // Each image by itself: features, keys, scores.
          const features: number[] = [];
          const scores: Float32Array[] = [];
          for (const [i, image] of images.entries()) {
            const { visual, keys } = await encodeWithKeys(model, image);
            const want = (part: string) => reference.tensor(`${name}.${part}.${i}`).values;
            ok(relativeError(visual.features, want('features')) < tolerance, 'features');
            ok(relativeError(keys, want('keys')) < tolerance, 'keys');
            ok(relativeError(visual.scores, want('scores')) < tolerance, 'scores');
            features.push(...visual.features);
            scores.push(visual.scores);
          }

          const prompt = buildPrompt(checkpoint, family, images, expected.question, '');
          strictEqual(
            checkpoint.codec.renderPrompt(images.length, expected.question, ''),
            expected.prompt,
          );
          deepStrictEqual(prompt.ids, expected.inputIds);
          deepStrictEqual(positionRows(prompt.positions.axes), rows(expected.positionIds));
          strictEqual(prompt.positions.next, expected.nextPosition);

          const embeddings = await decoder.embedTokens(prompt.ids);
          for (const [runName, run] of Object.entries(expected.runs)) {
            const keep = scores.map((s) =>
              run.prune ? keepVisualTokens(s, run.prune) : Array.from(s, (_, token) => token),
            );
            deepStrictEqual(keep, run.keep, `${runName}: kept tokens`);

            let first = 0;
            const all = keep.flatMap((own, i) => {
              const shifted = own.map((token) => token + first);
              first += scores[i]!.length;
              return shifted;
            });
            const pruned = prunePrompt(prompt, embeddings, Float32Array.from(features), all);
            if (run.positionIds) {
              deepStrictEqual(positionRows(pruned.positions), rows(run.positionIds), runName);
            }
            const prefill = await decoder.prefill(
              pruned.embeddings,
              pruned.positions,
              prompt.positions.next,
            );
            const logits = reference.tensor(`${name}.${runName}.logits`).values;
            ok(relativeError(prefill.logits, logits) < tolerance, `${runName}: prefill logits`);

            const tokens = [indexOfLargest(prefill.logits)];
            const batch = await decoder.startRows(prefill, 1);
            while (tokens.length < run.tokens.length) {
              tokens.push(indexOfLargest(await batch.step([tokens.at(-1)!])));
            }
            batch.dispose();
            deepStrictEqual(tokens, run.tokens, `${runName}: greedy tokens`);
            for (const tensor of prefill.state.tensors) tensor.dispose();
          }
          ok(vision.runs > 0);
        });
      }
    });
  }
});

/** The keys are not kept by the encoder: they are listened to where the encoder takes them. */
async function encodeWithKeys({ vision }: Model, image: PreparedImage) {
  const source = (
    vision as unknown as { keySource: { arrange: (...args: unknown[]) => { data: Float32Array } } }
  ).keySource;
  const { arrange } = source;
  let keys = new Float32Array(0) as Float32Array;
  source.arrange = (tensor: unknown, prepared: unknown) => {
    const found = arrange(tensor as Tensor, prepared);
    keys = found.data;
    return found;
  };
  try {
    const { visual } = await vision.encode(image);
    return { visual, keys };
  } finally {
    source.arrange = arrange;
  }
}

/** Regions follow each other over all tokens; tiles cover the image once, a thumbnail or image once more. */
function checkRegions({ regions, visualTokens }: PreparedImage): void {
  let token = 0;
  let tiledArea = 0;
  for (const { kind, rows, columns, firstToken, left, top, width, height } of regions) {
    strictEqual(firstToken, token);
    token += rows * columns;
    ok(left >= 0 && top >= 0 && left + width <= 1 + 1e-9 && top + height <= 1 + 1e-9);
    if (kind === 'tile') tiledArea += width * height;
    else strictEqual(width * height, 1);
  }
  strictEqual(token, visualTokens);
  ok(regions.length === 1 || Math.abs(tiledArea - 1) < 1e-9, `tiles cover ${tiledArea}`);
}

function differences(found: readonly number[], expected: ArrayLike<number>): string {
  if (found.length !== expected.length) return `${found.length} values for ${expected.length}`;
  const off = found.map((value, i) => Math.abs(value - expected[i]!)).filter((by) => by > 0);
  return off.length === 0
    ? 'none'
    : `${off.length} of ${found.length}, by up to ${Math.max(...off)}`;
}

function rows(positions: number[] | number[][]): number[][] {
  return typeof positions[0] === 'number' ? [positions as number[]] : (positions as number[][]);
}

function positionRows(axes: readonly Int32Array[]): number[][] {
  return axes.map((axis) => [...axis]);
}

function indexOfLargest(values: Float32Array): number {
  return values.indexOf(values.reduce((most, value) => Math.max(most, value)));
}
