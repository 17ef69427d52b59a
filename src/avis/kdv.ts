import { AvisError } from '../shared/errors';
import type { PruneSetting } from '../shared/types';

/** Guards against division by a zero norm, as in torch's normalize and cosine_similarity. */
const normalizeEpsilon = 1e-12;
const cosineEpsilon = 1e-8;

/**
 * Key-Diversity Visual scores: how little each visual token's key agrees with the mean direction of
 * the keys, averaged over the heads. One pass for the anchor and one for the scores: O(N) in tokens.
 *
 * score_i = mean over heads of −cos(key_{h,i}, anchor_h), anchor_h = mean over tokens of the
 * L2-normalised keys (AVIS, arXiv 2606.11576 §4.1; reference code: modeling_qwen2_5_vl.py). Sums are
 * kept in float64.
 *
 * @param keys [heads, tokens, headDim], row-major: the last vision block's keys after rotary
 *   embedding, averaged over each spatial-merge group, tokens in raster order.
 * @returns [tokens], each in [−1, 1]; higher = more diverse = kept.
 * @throws {AvisError} 'badModel' where the length and shape disagree or a key is NaN or infinite.
 */
export function keyDiversityScores(
  keys: Float32Array,
  shape: { heads: number; tokens: number; headDim: number },
): Float32Array {
  const { heads, tokens, headDim } = shape;
  if (keys.length !== heads * tokens * headDim) {
    throw new AvisError(
      'badModel',
      `The vision encoder's keys have ${keys.length} values, but [${heads}, ${tokens}, ${headDim}] ` +
        'needs ' +
        `${heads * tokens * headDim}. The vision graph doesn't fit its config.json.`,
    );
  }
  const scores = new Float64Array(tokens);
  const inverseNorms = new Float64Array(tokens);
  const anchor = new Float64Array(headDim);

  for (let head = 0; head < heads; head++) {
    const headStart = head * tokens * headDim;

    anchor.fill(0);
    for (let token = 0, start = headStart; token < tokens; token++, start += headDim) {
      let squares = 0;
      for (let d = 0; d < headDim; d++) squares += keys[start + d]! * keys[start + d]!;
      const inverseNorm = 1 / Math.max(Math.sqrt(squares), normalizeEpsilon);
      inverseNorms[token] = inverseNorm;
      for (let d = 0; d < headDim; d++) anchor[d]! += keys[start + d]! * inverseNorm;
    }

    let anchorSquares = 0;
    for (let d = 0; d < headDim; d++) {
      anchor[d]! /= tokens;
      anchorSquares += anchor[d]! * anchor[d]!;
    }
    const scale = 1 / Math.max(Math.sqrt(anchorSquares), cosineEpsilon) / heads;

    for (let token = 0, start = headStart; token < tokens; token++, start += headDim) {
      let dot = 0;
      for (let d = 0; d < headDim; d++) dot += keys[start + d]! * anchor[d]!;
      scores[token]! -= dot * inverseNorms[token]! * scale;
    }
  }

  // NaN and infinity in any key reach every score of its head through the anchor.
  if (!scores.every(Number.isFinite)) {
    throw new AvisError(
      'badModel',
      "The vision encoder's keys contain NaN or infinity. Choose another dtype of the vision encoder " +
        '(fp32 is safest) or another device.',
    );
  }
  return Float32Array.from(scores);
}

/**
 * The visual tokens that survive pruning: the n = int(N·(1−ρ)) of highest score, at least one; of
 * equal scores the lower index stays. Adaptively, ρ is the share of tokens whose score is below −cos(τ)
 * (avis: τ = π/4); N·(1−ρ) is then a whole number and is taken exactly, so that the kept tokens are
 * those whose score reaches −cos(τ).
 * @param scores [tokens]
 * @returns ascending indices; empty only where there are no tokens.
 */
export function keepVisualTokens(scores: ArrayLike<number>, prune: PruneSetting): number[] {
  const tokens = scores.length;
  const wanted =
    prune.mode === 'fixed'
      ? Math.trunc(tokens * (1 - prune.ratio))
      : tokens - countRedundant(scores, prune.tauDegrees);
  return highestScores(scores, Math.min(Math.max(wanted, 1), tokens));
}

/**
 * The `count` highest scores' indices, ascending; of equal scores the lower index is taken.
 */
export function highestScores(scores: ArrayLike<number>, count: number): number[] {
  const kept: number[] = [];
  if (count <= 0) return kept;
  const ascending = Float64Array.from(scores).sort();
  const threshold = ascending[scores.length - count]!;
  // Among the `count` highest, how many equal the threshold.
  let equalLeft = 0;
  for (let i = scores.length - count; i < scores.length && ascending[i] === threshold; i++) {
    equalLeft++;
  }
  for (let i = 0; i < scores.length; i++) {
    const score = scores[i]!;
    if (score > threshold) kept.push(i);
    else if (score === threshold && equalLeft-- > 0) kept.push(i);
  }
  return kept;
}

function countRedundant(scores: ArrayLike<number>, tauDegrees: number): number {
  const limit = -Math.cos((tauDegrees * Math.PI) / 180);
  let count = 0;
  for (let i = 0; i < scores.length; i++) if (scores[i]! < limit) count++;
  return count;
}
