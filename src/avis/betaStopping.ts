/**
 * Adaptive-Consistency's Beta rule (Aggarwal et al. 2023, arXiv 2305.11860): stop sampling once the
 * leading answer is the majority answer with the wanted confidence.
 *
 * With v₁ ≥ v₂ the two highest counts and a uniform prior, the share of the first among the two is
 * Beta(v₁+1, v₂+1)-distributed; the rule asks for P(share > ½). Both parameters being whole numbers,
 * that is a binomial tail: Σ_{j=0}^{v₁} C(n, j) / 2ⁿ with n = v₁+v₂+1.
 * @param counts votes by distinct answer, in any order
 * @param confidence in (0, 1); the source uses 0.95
 */
export function isAnswerSettled(counts: number[], confidence: number): boolean {
  const [first = 0, second = 0] = counts.toSorted((a, b) => b - a);
  return majorityProbability(first, second) >= confidence;
}

/** P(X > ½) for X ~ Beta(first+1, second+1). */
export function majorityProbability(first: number, second: number): number {
  const n = first + second + 1;
  let term = 2 ** -n; // C(n, 0) / 2ⁿ
  let sum = 0;
  for (let j = 0; j <= first; j++) {
    sum += term;
    term *= (n - j) / (j + 1);
  }
  return sum;
}
