import { strictEqual } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { decodeFlops, kvCacheBytes, prefillFlops } from '../../../src/avis/compute';
import { languageCost } from '../../../src/engine/families/lfm2vl';
import { ConfigReader, type JsonObject } from '../../../src/engine/json';

/** Counted by torch's FlopCounterMode; see test/fixtures/makeLfm2Flops.py. */
interface Counted {
  config: JsonObject;
  prefillFlops: { tokens: number; flops: number }[];
  stepFlops: { past: number; flops: number }[];
}

const fixture = JSON.parse(
  readFileSync(new URL('../../fixtures/lfm2Flops.json', import.meta.url), 'utf8'),
) as Record<string, Counted>;

for (const [name, counted] of Object.entries(fixture)) {
  const cost = languageCost(new ConfigReader(counted.config, 'config.json'));
  describe(`compute accounting of LFM2 ${name}, against torch's FlopCounterMode`, () => {
    for (const { tokens, flops } of counted.prefillFlops) {
      it(`prefill of ${tokens} tokens`, () => strictEqual(prefillFlops(cost, tokens), flops));
    }
    for (const { past, flops } of counted.stepFlops) {
      // Two tokens take one step: the prefill's logits give the first.
      it(`one decoding step after ${past} tokens`, () =>
        strictEqual(decodeFlops(cost, past, 2), flops));
    }
  });
}

it('LFM2 keeps keys and values in its layers with attention alone', () => {
  const cost = languageCost(new ConfigReader(fixture['450M']!.config, 'config.json'));
  const attentionLayers = 6;
  const keyAndValueBytes = 2 * 8 * 64 * 4;
  strictEqual(kvCacheBytes(cost, 100), 100 * attentionLayers * keyAndValueBytes);
});
