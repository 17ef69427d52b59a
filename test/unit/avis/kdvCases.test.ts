import { ok, strictEqual, throws } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { keepVisualTokens, keyDiversityScores } from '../../../src/avis/kdv';
import { AvisError } from '../../../src/shared/errors';
import type { PruneSetting } from '../../../src/shared/types';

/** What NumPy in float64 keeps: bit i of the hexadecimal mask is token i. See makeKdvCases.py. */
const { keepMasks } = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../fixtures/kdvCases.json'), 'utf8'),
) as { keepMasks: string };
const adaptiveDegrees = [15, 30, 45, 60, 75];
const fixedRatios = [0, 0.25, 0.5, 0.75, 0.9];

describe('KDV against a literal transcription in NumPy', () => {
  const expected = keepMasks.split(' ');

  it('keeps the same tokens in 10,000 random cases with ties, zero keys, NaN and infinity', () => {
    strictEqual(expected.length, 10_000);
    ok(expected.filter((mask) => mask === 'refused').length > 100);
    expected.forEach((mask, seed) => {
      const { keys, shape, prune } = makeCase(seed);
      if (mask === 'refused') {
        throws(() => keyDiversityScores(keys, shape), AvisError, `case ${seed}`);
        return;
      }
      const keep = keepVisualTokens(keyDiversityScores(keys, shape), prune);
      const found = keep.reduce((bits, token) => bits | (1n << BigInt(token)), 0n);
      strictEqual(found.toString(16), mask, `case ${seed}: ${JSON.stringify({ shape, prune })}`);
    });
  });
});

/** mulberry32: `count` numbers in [0, 1) with 24 bits. */
function draw(seed: number, count: number): Float64Array {
  let state = seed;
  return Float64Array.from({ length: count }, () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 8) / 2 ** 24;
  });
}

function makeCase(seed: number) {
  const [kind = 0, u0 = 0, u1 = 0, u2 = 0, pruneKind = 0, pruneValue = 0] = draw(seed, 6);
  const heads = 1 + Math.trunc(u0 * 4);
  const tokens = 1 + Math.trunc(u1 * 40);
  const headDim = 2 + Math.trunc(u2 * 16);
  const size = heads * tokens * headDim;
  const values = draw(seed + 1_000_003, 4 * size + heads * headDim);
  const keys = Float32Array.from({ length: size }, (_, i) => {
    const noise = values[4 * i]! + values[4 * i + 1]! + values[4 * i + 2]! + values[4 * i + 3]! - 2;
    const head = Math.floor(i / (tokens * headDim));
    return noise + 2 * values[4 * size + head * headDim + (i % headDim)]!;
  });
  const picks = Array.from(draw(seed + 2_000_003, 2 * tokens), (u) => Math.trunc(u * tokens));
  const at = (head: number, token: number) => (head * tokens + token) * headDim;
  if (kind < 0.3) {
    for (let i = 0; i < tokens; i++) {
      for (let head = 0; head < heads; head++) {
        const source = at(head, picks[2 * i + 1]!);
        keys.copyWithin(at(head, picks[2 * i]!), source, source + headDim);
      }
    }
  } else if (kind < 0.5) {
    for (let i = 0; i < tokens; i += 2) {
      for (let head = 0; head < (i % 4 ? heads : 1); head++) {
        keys.fill(0, at(head, picks[i]!), at(head, picks[i]!) + headDim);
      }
    }
  } else if (kind < 0.55) {
    keys[at(heads - 1, picks[0]!)] = [NaN, Infinity, -Infinity][tokens % 3]!;
  }
  const choice = Math.trunc(pruneValue * 5);
  const prune: PruneSetting =
    pruneKind < 0.5
      ? { mode: 'fixed', ratio: fixedRatios[choice]! }
      : { mode: 'adaptive', tauDegrees: adaptiveDegrees[choice]! };
  return { keys, shape: { heads, tokens, headDim }, prune };
}
