import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { keepVisualTokens } from '../../../src/avis/kdv';
import type { Prefill } from '../../../src/engine/decoder';
import type { PreparedImage } from '../../../src/engine/families/family';
import { decodeImage } from '../../../src/engine/image';
import { loadModel, type Model } from '../../../src/engine/model';
import { buildPrompt, type Prompt, prunePrompt } from '../../../src/engine/prompt';
import { runRollouts } from '../../../src/engine/rollouts';
import type { VisualFeatures } from '../../../src/engine/vision';
import {
  fixtureImage,
  fixtures,
  readReference,
  type Reference,
  type ReferenceCase,
  type ReferenceTensor,
  relativeError,
} from './reference';

/** The bound of the specification, in fp32. */
const tolerance = 1e-3;
const checkpoints = readdirSync(join(fixtures, 'checkpoints')).sort();

interface EncodedCase {
  prompt: Prompt;
  prepared: PreparedImage[];
  visual: VisualFeatures[];
}

// The graphs get the pixels that PyTorch saw. Ours are torchvision's to the bit (resample.test.ts); the
// fixtures' are Pillow's, which since 13 may resize columns before rows: then a pixel is rounded
// differently, by two levels at most here.
for (const checkpoint of checkpoints) {
  describe(`${checkpoint} against PyTorch`, () => {
    let model: Model;
    let cacheFolder: string;
    const reference = readReference(checkpoint);
    const encoded = new Map<string, EncodedCase>();

    before(async () => {
      cacheFolder = mkdtempSync(join(tmpdir(), 'avis-parity-'));
      const { folder } = reference;
      model = await loadModel({ folder, device: 'cpu', dtype: 'auto', cacheFolder }, () => {});
      for (const [name, each] of Object.entries(reference.cases)) {
        encoded.set(name, await encodeCase(model, reference, name, each));
      }
    });
    after(async () => {
      await model.release();
      rmSync(cacheFolder, { recursive: true });
    });

    for (const [name, each] of Object.entries(reference.cases)) {
      it(`${name}: features and scores of each image`, () => {
        const { visual } = encoded.get(name)!;
        visual.forEach(({ features, scores }, i) => {
          const expected = reference.tensor(`${name}.features.${i}`).values;
          ok(relativeError(features, expected) < tolerance, `features ${i}`);
          const expectedScores = reference.tensor(`${name}.scores.${i}`).values;
          ok(relativeError(scores, expectedScores) < tolerance, `scores ${i}`);
        });
      });

      it(`${name}: prompt and positions`, () => {
        const { prompt } = encoded.get(name)!;
        deepStrictEqual(prompt.ids, each.inputIds);
        deepStrictEqual(axesOf(prompt.positions.axes), each.positionIds);
        strictEqual(prompt.positions.next, each.nextPosition);
      });

      for (const [run, expected] of Object.entries(each.runs)) {
        it(`${name}, ${run}: kept tokens, positions, logits and greedy tokens`, async () => {
          const { visual, prompt } = encoded.get(name)!;
          const { prune } = expected;
          const keeps = visual.map(({ scores }) =>
            prune ? keepVisualTokens(scores, prune) : [...scores.keys()],
          );
          deepStrictEqual(keeps, expected.keep);

          const pruned = await pruneCase(model, encoded.get(name)!, keeps);
          if (expected.positionIds) deepStrictEqual(axesOf(pruned.positions), expected.positionIds);
          const prefill = await model.decoder.prefill(
            pruned.embeddings,
            pruned.positions,
            prompt.positions.next,
          );
          const { values } = reference.tensor(`${name}.${run}.logits`);
          ok(relativeError(prefill.logits, values) < tolerance, 'logits');
          deepStrictEqual(await greedyTokens(model, prompt, prefill, 16), expected.tokens);
        });
      }
    }

    it('gives the same logits when the prompt is prefilled in pieces', async () => {
      const [name] = Object.keys(reference.cases);
      const each = encoded.get(name!)!;
      const keeps = each.visual.map(({ scores }) => [...scores.keys()]);
      const { embeddings, positions } = await pruneCase(model, each, keeps);
      const { next } = each.prompt.positions;
      const pieces = await model.decoder.prefill(embeddings, positions, next, undefined, 7);
      const expected = reference.tensor(`${name}.none.logits`).values;
      ok(relativeError(pieces.logits, expected) < tolerance);
    });
  });
}

async function encodeCase(
  model: Model,
  reference: Reference,
  name: string,
  each: ReferenceCase,
): Promise<EncodedCase> {
  const prepared: PreparedImage[] = [];
  for (const image of each.images) {
    const { bytes, name } = fixtureImage(image);
    prepared.push(model.family.prepareImage(await decodeImage(bytes, name)));
  }
  usePixels(prepared, reference.tensor(`${name}.pixels`));
  const visual: VisualFeatures[] = [];
  for (const image of prepared) visual.push((await model.vision.encode(image)).visual);
  const prompt = buildPrompt(model.checkpoint, model.family, prepared, each.question, '');
  return { prompt, prepared, visual };
}

const mean = [0.48145466, 0.4578275, 0.40821073];
const deviation = [0.26862954, 0.26130258, 0.27577711];

/** Puts the reference's pixels, [patches, 3, patch, patch], in place of ours, after comparing them. */
function usePixels(images: PreparedImage[], { values: levels, dims }: ReferenceTensor): void {
  const area = dims[2]! * dims[3]!;
  let start = 0;
  for (const { feeds } of images) {
    const values = feeds['pixel_values']!.data as Float32Array;
    for (let i = 0; i < values.length; i++) {
      const patch = Math.floor(i / (6 * area));
      const channel = Math.floor((i % (6 * area)) / (2 * area));
      const level = levels[start + (patch * 3 + channel) * area + (i % area)]!;
      const expected = (level / 255 - mean[channel]!) / deviation[channel]!;
      const levelsOff = Math.abs(values[i]! - expected) * deviation[channel]! * 255;
      ok(levelsOff < 2.001, `pixel ${i} is ${levelsOff} levels off`);
      values[i] = expected;
    }
    start += values.length / 2;
  }
}

async function pruneCase(model: Model, { prompt, visual }: EncodedCase, keeps: number[][]) {
  const hiddenSize = visual[0]!.hiddenSize;
  const total = visual.reduce((sum, { scores }) => sum + scores.length, 0);
  const features = new Float32Array(total * hiddenSize);
  const keep: number[] = [];
  let first = 0;
  visual.forEach((each, i) => {
    features.set(each.features, first * hiddenSize);
    keep.push(...keeps[i]!.map((index) => first + index));
    first += each.scores.length;
  });
  return prunePrompt(prompt, await model.decoder.embedTokens(prompt.ids), features, keep);
}

async function greedyTokens(
  model: Model,
  prompt: Prompt,
  prefill: Prefill,
  maxNewTokens: number,
): Promise<number[]> {
  const tokens: number[] = [];
  let last: readonly number[] = [];
  await runRollouts(
    {
      decoder: model.decoder,
      codec: {
        decode: (ids: readonly number[]) => {
          last = ids;
          return '';
        },
      } as unknown as Model['checkpoint']['codec'],
      prefill,
      promptIds: prompt.ids,
      repetitionPenalty: 1,
      endTokenIds: model.checkpoint.endTokenIds,
      settings: { temperature: 1, topP: 1, seed: 0, maxNewTokens },
      greedy: true,
      earlyStop: false,
      onText: () => {},
      onDone: () => tokens.push(...last),
    },
    [],
    1,
  );
  return tokens;
}

/** Plain positions are one list, M-RoPE's are three. */
function axesOf(axes: readonly Int32Array[]): number[] | number[][] {
  const lists = axes.map((axis) => [...axis]);
  return lists.length === 1 ? lists[0]! : lists;
}
