import assert from 'node:assert/strict';
import { keepVisualTokens, keyDiversityScores } from '../../../src/avis/kdv';
import { AvisError } from '../../../src/shared/errors';
import { normals, randomSource } from './random';

const norm = (v: number[]) => Math.sqrt(v.reduce((sum, x) => sum + x * x, 0));
const fixed = (ratio: number) => ({ mode: 'fixed', ratio }) as const;
const adaptive = (tauDegrees: number) => ({ mode: 'adaptive', tauDegrees }) as const;

/** The definition, word for word in float64: normalise, anchor, −cosine, mean over heads. */
function literalScores(keys: number[][][]): number[] {
  const perHead = keys.map((tokens) => {
    const normalised = tokens.map((key) => key.map((x) => x / norm(key)));
    const anchor = normalised[0]!.map(
      (_, d) => normalised.reduce((sum, key) => sum + key[d]!, 0) / normalised.length,
    );
    return normalised.map(
      (key) => -key.reduce((sum, x, d) => sum + x * anchor[d]!, 0) / (norm(key) * norm(anchor)),
    );
  });
  return perHead[0]!.map(
    (_, token) => perHead.reduce((sum, scores) => sum + scores[token]!, 0) / perHead.length,
  );
}

function nest(keys: Float32Array, heads: number, tokens: number, headDim: number): number[][][] {
  return Array.from({ length: heads }, (_, h) =>
    Array.from({ length: tokens }, (_, t) => [
      ...keys.subarray((h * tokens + t) * headDim, (h * tokens + t + 1) * headDim),
    ]),
  );
}

describe('keyDiversityScores', () => {
  for (const [heads, tokens, headDim] of [
    [1, 1, 4],
    [2, 3, 5],
    [4, 64, 16],
    [16, 391, 80],
  ] as const) {
    it(`equals the literal definition to float32 precision for [${heads}, ${tokens}, ${headDim}]`, () => {
      // A common direction, as real keys have, beside the noise.
      const random = randomSource(heads * 1000 + tokens);
      const keys = normals(random, heads * tokens * headDim).map((x, i) => x + (i % headDim) / 4);
      const scores = keyDiversityScores(keys, { heads, tokens, headDim });
      const expected = literalScores(nest(keys, heads, tokens, headDim));
      for (const [i, score] of scores.entries()) {
        assert.ok(Math.abs(score - expected[i]!) < 1e-7, `token ${i}: ${score}, ${expected[i]}`);
        assert.ok(score >= -1 && score <= 1);
      }
    });
  }

  it('is −1 for a lone token and for keys that all agree, whatever their length', () => {
    assert.deepEqual(
      [...keyDiversityScores(Float32Array.of(3, 4), { heads: 1, tokens: 1, headDim: 2 })],
      [-1],
    );
    const keys = Float32Array.of(1, 0, 5, 0, 0.001, 0);
    assert.deepEqual(
      [...keyDiversityScores(keys, { heads: 1, tokens: 3, headDim: 2 })],
      [-1, -1, -1],
    );
  });

  it('scores the odd key out highest', () => {
    const keys = Float32Array.of(1, 0, 1, 0, 0, 1, 1, 0);
    const scores = keyDiversityScores(keys, { heads: 1, tokens: 4, headDim: 2 });
    assert.equal(scores.indexOf(Math.max(...scores)), 2);
  });

  it('gives a zero key the score 0 instead of NaN', () => {
    const scores = keyDiversityScores(Float32Array.of(0, 0, 1, 0), {
      heads: 1,
      tokens: 2,
      headDim: 2,
    });
    assert.equal(Math.abs(scores[0]!), 0);
    assert.equal(scores[1], -1);
  });

  it('refuses NaN and infinity, and a length that does not fit the shape', () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      assert.throws(
        () =>
          keyDiversityScores(Float32Array.of(1, 2, 3, bad), { heads: 1, tokens: 2, headDim: 2 }),
        (error) =>
          error instanceof AvisError && error.code === 'badModel' && /NaN/.test(error.message),
      );
    }
    assert.throws(
      () => keyDiversityScores(new Float32Array(7), { heads: 1, tokens: 2, headDim: 4 }),
      (error) =>
        error instanceof AvisError && error.code === 'badModel' && /7 values/.test(error.message),
    );
  });
});

describe('keepVisualTokens', () => {
  it('keeps the int(N·(1−ρ)) highest in ascending order', () => {
    const scores = [0.1, 0.9, -0.3, 0.5, 0.4, -0.9];
    assert.deepEqual(keepVisualTokens(scores, fixed(0)), [0, 1, 2, 3, 4, 5]);
    assert.deepEqual(keepVisualTokens(scores, fixed(0.5)), [1, 3, 4]);
    assert.deepEqual(keepVisualTokens(scores, fixed(0.6)), [1, 3]);
  });

  it('agrees with a full sort for any scores and ratio, ties going to the lower index', () => {
    const random = randomSource(7);
    for (let trial = 0; trial < 300; trial++) {
      const tokens = 1 + Math.floor(random() * 60);
      // Few distinct values, so that ties are common.
      const scores = Array.from({ length: tokens }, () => Math.floor(random() * 6) / 6 - 0.9);
      const ratio = random() * 0.99;
      const count = Math.max(1, Math.trunc(tokens * (1 - ratio)));
      const expected = [...scores.keys()]
        .sort((a, b) => scores[b]! - scores[a]! || a - b)
        .slice(0, count)
        .sort((a, b) => a - b);
      assert.deepEqual(keepVisualTokens(scores, fixed(ratio)), expected);
    }
  });

  it('keeps at least one token, and none where there are none', () => {
    assert.deepEqual(keepVisualTokens([-0.2, -0.1], fixed(0.99)), [1]);
    assert.deepEqual(keepVisualTokens([-1, -1, -1], adaptive(45)), [0]);
    assert.deepEqual(keepVisualTokens([], fixed(0.5)), []);
    assert.deepEqual(keepVisualTokens([], adaptive(45)), []);
  });

  it('adaptively keeps exactly the scores that reach −cos τ, for every N and count', () => {
    const random = randomSource(11);
    for (let tokens = 1; tokens <= 128; tokens++) {
      const scores = normals(random, tokens).map((x) => Math.tanh(x));
      const limit = -Math.cos(Math.PI / 3);
      const reaching = [...scores.keys()].filter((i) => scores[i]! >= limit);
      if (reaching.length > 0) assert.deepEqual(keepVisualTokens(scores, adaptive(60)), reaching);
    }
  });

  it("has the paper's threshold at τ = 45°", () => {
    const scores = [-0.7072, -0.707, -0.8, 0.3];
    assert.deepEqual(keepVisualTokens(scores, adaptive(45)), [1, 3]);
  });

  it('prunes nothing at τ = 0', () => {
    assert.deepEqual(keepVisualTokens([-1, 0.5], adaptive(0)), [0, 1]);
  });
});
