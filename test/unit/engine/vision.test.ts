import { deepStrictEqual, ok, rejects, strictEqual } from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { keepVisualTokens } from '../../../src/avis/kdv';
import { decodeImage } from '../../../src/engine/image';
import { loadModel, type Model } from '../../../src/engine/model';
import { fixtureImage, fixtures, relativeError } from './reference';

/** Rounding alone: the same products, in pieces. */
const tolerance = 1e-6;

const checkpoints = ['smolvlm-tiny', 'smolvlm-tiny-fused', 'lfm2_vl-tiny', 'lfm2_vl-tiny-fused'];

describe('tiles in several runs of the vision encoder', function () {
  this.timeout(60_000);
  for (const checkpoint of checkpoints) {
    describe(checkpoint, () => {
      let cacheFolder: string;
      let model: Model;
      before(async () => {
        cacheFolder = mkdtempSync(join(tmpdir(), 'avis-tiles-'));
        const folder = join(fixtures, 'checkpoints', checkpoint);
        model = await loadModel({ folder, device: 'cpu', dtype: 'auto', cacheFolder }, () => {});
      });
      after(async () => {
        await model.release();
        rmSync(cacheFolder, { recursive: true });
      });

      async function tiledImage() {
        const { name, bytes } = fixtureImage('large');
        const image = model.family.prepareImage(await decodeImage(bytes, name));
        ok(image.gridThw[0] > 3, `${image.gridThw[0]} tiles`);
        return image;
      }

      for (const tilesPerRun of [1, 3]) {
        it(`gives the same features and scores with ${tilesPerRun} in a run`, async () => {
          const image = await tiledImage();
          const { visual: whole } = await model.vision.encode(image, undefined, image.gridThw[0]);
          const { visual } = await model.vision.encode(image, undefined, tilesPerRun);
          strictEqual(visual.features.length, image.visualTokens * visual.hiddenSize);
          ok(relativeError(visual.features, whole.features) < tolerance, 'features');
          ok(relativeError(visual.scores, whole.scores) < tolerance, 'scores');
          const prune = { mode: 'fixed', ratio: 0.75 } as const;
          deepStrictEqual(
            keepVisualTokens(visual.scores, prune),
            keepVisualTokens(whole.scores, prune),
          );
        });
      }

      it('can be canceled between runs', async () => {
        const image = await tiledImage();
        const controller = new AbortController();
        const encoding = model.vision.encode(image, controller.signal, 1);
        controller.abort();
        await rejects(encoding, { code: 'canceled' });
      });
    });
  }
});
