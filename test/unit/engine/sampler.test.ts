import { deepStrictEqual, ok, strictEqual, throws } from 'node:assert/strict';
import {
  greedySampler,
  nucleusSampler,
  penalizeRepetition,
  randomStream,
} from '../../../src/engine/sampler';

/** Draws often; @returns the share of each token. */
function shares(logits: Float32Array, temperature: number, topP: number): number[] {
  const draws = 20_000;
  const random = randomStream(1, 0);
  const draw = nucleusSampler({ temperature, topP })(logits);
  const counts = Array.from(logits, () => 0);
  for (let i = 0; i < draws; i++) counts[draw(random)]!++;
  return counts.map((count) => count / draws);
}

function softmax(values: number[]): number[] {
  const most = Math.max(...values);
  const weights = values.map((value) => Math.exp(value - most));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

/** transformers' TemperatureLogitsWarper and TopPLogitsWarper, transcribed. */
function expectedShares(logits: Float32Array, temperature: number, topP: number): number[] {
  const scaled = Array.from(logits, (logit) => logit / temperature);
  const probabilities = softmax(scaled);
  const ascending = [...scaled.keys()].sort((a, b) => scaled[a]! - scaled[b]!);
  let cumulative = 0;
  for (const [i, token] of ascending.entries()) {
    cumulative += probabilities[token]!;
    if (cumulative <= 1 - topP && i < ascending.length - 1) scaled[token] = -Infinity;
  }
  return softmax(scaled);
}

describe('sampling', () => {
  const logits = Float32Array.of(2, 1.5, 0.3, -0.2, 0.9, -3, 1.1);

  for (const [temperature, topP] of [
    [1, 1],
    [0.7, 0.9],
    [1.5, 0.6],
    [0.3, 0.05],
  ] as const) {
    it(`follows transformers' distribution at T ${temperature}, top-p ${topP}`, () => {
      const expected = expectedShares(logits, temperature, topP);
      // Five standard deviations of a share from 20,000 draws are at most 0.018.
      shares(logits, temperature, topP).forEach((share, token) => {
        ok(Math.abs(share - expected[token]!) < 0.018, `token ${token}: ${share}`);
        strictEqual(share > 0, expected[token]! > 0 && share > 0, `token ${token} is cut off`);
      });
    });
  }

  it('finds the nucleus of a large vocabulary', () => {
    const random = randomStream(3, 3);
    const large = Float32Array.from({ length: 50_000 }, () => 8 * random() ** 4);
    large[40_000] = 12;
    const expected = expectedShares(large, 1, 0.5);
    const draw = nucleusSampler({ temperature: 1, topP: 0.5 })(large);
    for (let i = 0; i < 200; i++) ok(expected[draw(random)]! > 0);
  });

  it('draws a stream of its own for each rollout', () => {
    const flat = new Float32Array(1000);
    const stream = (seed: number, rollout: number) => {
      const random = randomStream(seed, rollout);
      const draw = nucleusSampler({ temperature: 1, topP: 1 })(flat);
      return Array.from({ length: 20 }, () => draw(random));
    };
    deepStrictEqual(stream(5, 2), stream(5, 2));
    const streams = [
      stream(0, 0),
      stream(0, 1),
      stream(1, 0),
      stream(1, 1),
      stream(2 ** 32 - 1, 0),
    ];
    strictEqual(new Set(streams.map(String)).size, streams.length);
  });

  it('spreads its random numbers evenly', () => {
    const random = randomStream(0, 0);
    const bins = Array.from({ length: 10 }, () => 0);
    for (let i = 0; i < 10_000; i++) bins[Math.floor(random() * 10)]!++;
    for (const count of bins) ok(Math.abs(count - 1000) < 150, `${count}`); // five deviations
  });

  it('takes the first of the most likely tokens greedily', () => {
    strictEqual(
      greedySampler(Float32Array.of(1, 3, 2, 3))(() => 0.5),
      1,
    );
  });

  it('refuses NaN', () => {
    const broken = Float32Array.of(1, 2, NaN, 3);
    const nucleus = nucleusSampler({ temperature: 1, topP: 0.9 });
    for (const sample of [greedySampler, nucleus]) throws(() => sample(broken), /in logits/);
  });

  it('penalizes repetition as transformers does', () => {
    const row = Float32Array.of(2, -2, 4);
    penalizeRepetition(row, [0, 1], 2);
    deepStrictEqual([...row], [1, -4, 4]);
  });
});
