import { AvisError } from '../shared/errors';

/**
 * From logits to what draws a token from them, for any number of rollouts; valid until the next logits.
 * @throws {AvisError} 'badModel' for NaN logits.
 */
export type Sampler = (logits: Float32Array) => (random: () => number) => number;

/** The most likely token; of equals the first. */
export const greedySampler: Sampler = (logits) => {
  let best = 0;
  for (let i = 0; i < logits.length; i++) {
    if (logits[i]! > logits[best]!) best = i;
    else if (Number.isNaN(logits[i])) requireNumber(NaN);
  }
  requireNumber(logits[best]!);
  return () => best;
};

/**
 * Temperature, then the nucleus: the fewest most likely tokens whose probabilities reach `topP`, as
 * transformers' TemperatureLogitsWarper and TopPLogitsWarper.
 */
export function nucleusSampler({
  temperature,
  topP,
}: {
  temperature: number;
  topP: number;
}): Sampler {
  let weights = new Float64Array(0);
  return (logits) => {
    if (weights.length !== logits.length) weights = new Float64Array(logits.length);
    let largest = -Infinity;
    for (let i = 0; i < logits.length; i++) if (logits[i]! > largest) largest = logits[i]!;
    // All tokens below this together weigh less than the step of a 32-bit draw.
    const negligibleExponent = -Math.log(2 ** 32 * logits.length);
    let total = 0;
    for (let i = 0; i < logits.length; i++) {
      const exponent = (logits[i]! - largest) / temperature;
      total += weights[i] = exponent < negligibleExponent ? 0 : Math.exp(exponent);
    }
    requireNumber(total);

    const { ids, mass } = nucleusOf(weights, total, topP);
    return (random) => {
      let draw = random() * mass;
      for (const id of ids) {
        draw -= weights[id]!;
        if (draw < 0) return id;
      }
      return ids.at(-1)!;
    };
  };
}

/**
 * The nucleus and its weight. In the order of the ids, so that two tokens whose logits are nearly equal
 * don't trade places by the last bit of a device's arithmetic.
 */
function nucleusOf(
  weights: Float64Array,
  total: number,
  topP: number,
): { ids: number[]; mass: number } {
  // All tokens below this weight together weigh less than 1 − topP, so none is in the nucleus: that
  // leaves a few to sort out of a vocabulary of 150,000.
  const floor = ((1 - topP) * total) / weights.length;
  const ids: number[] = [];
  for (let i = 0; i < weights.length; i++) if (weights[i]! > floor) ids.push(i);
  if (topP >= 1) return { ids, mass: total };

  const ascending = Float64Array.from(ids, (id) => weights[id]!).sort();
  let mass = 0;
  let first = ascending.length;
  while (first > 0 && mass < topP * total) mass += ascending[--first]!;
  const least = ascending[first]!;
  let equalLeft = 0;
  for (let i = first; ascending[i] === least; i++) equalLeft++;
  const nucleus = ids.filter(
    (id) => weights[id]! > least || (weights[id] === least && equalLeft-- > 0),
  );
  return { ids: nucleus, mass };
}

/** Divides the positive and multiplies the negative logits of tokens already seen, in place. */
export function penalizeRepetition(
  logits: Float32Array,
  seen: Iterable<number>,
  penalty: number,
): void {
  for (const id of seen) {
    const logit = logits[id]!;
    logits[id] = logit > 0 ? logit / penalty : logit * penalty;
  }
}

/** Numbers in [0, 1): sfc32 (Chris Doty-Humphrey's PractRand), seeded by (seed, stream). */
export function randomStream(seed: number, stream: number): () => number {
  let a = seed >>> 0;
  let b = stream >>> 0;
  let c = 0x9e3779b9;
  let counter = 1;
  const next = (): number => {
    const t = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return (t >>> 0) / 4294967296;
  };
  for (let i = 0; i < 15; i++) next(); // mixes neighbouring seeds apart
  return next;
}

function requireNumber(value: number): void {
  if (Number.isFinite(value)) return;
  throw new AvisError(
    'badModel',
    `The decoder gave ${value} in logits. Its weights are damaged or this device computes it wrongly: try another dtype or the device cpu.`,
  );
}
