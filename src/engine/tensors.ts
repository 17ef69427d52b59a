import { Tensor } from 'onnxruntime-node';
import { AvisError } from '../shared/errors';
import type { TensorSpec } from './session';

/** Bytes of one element. */
export function elementBytes(type: Tensor.Type): number {
  switch (type) {
    case 'float16':
    case 'int16':
    case 'uint16':
      return 2;
    case 'float32':
    case 'int32':
    case 'uint32':
      return 4;
    case 'int64':
    case 'uint64':
    case 'float64':
      return 8;
    default:
      return 1;
  }
}

/** A float tensor in the type that the graph asks for. */
export function floatTensor(spec: TensorSpec, values: Float32Array, dims: number[]): Tensor {
  if (spec.type === 'float32') return new Tensor('float32', values, dims);
  if (spec.type === 'float16') return new Tensor('float16', toHalf(values), dims);
  throw new AvisError('badModel', `Input ${spec.name} has the unsupported type ${spec.type}.`);
}

/** An integer tensor in the type that the graph asks for (int64 or int32). */
export function integerTensor(spec: TensorSpec, values: ArrayLike<number>, dims: number[]): Tensor {
  if (spec.type === 'int32') return new Tensor('int32', Int32Array.from(values), dims);
  if (spec.type === 'int64') {
    const wide = new BigInt64Array(values.length);
    for (let i = 0; i < values.length; i++) wide[i] = BigInt(values[i]!);
    return new Tensor('int64', wide, dims);
  }
  throw new AvisError('badModel', `Input ${spec.name} has the unsupported type ${spec.type}.`);
}

/** A tensor's values as float32, without a copy where they already are. */
export function floatValues(tensor: Tensor): Float32Array {
  const { data } = tensor;
  if (data instanceof Float32Array) return data;
  if (tensor.type === 'float16') {
    // A Uint16Array, or a Float16Array where the runtime knows one.
    const raw = data as Uint16Array;
    return fromHalf(new Uint16Array(raw.buffer, raw.byteOffset, raw.length));
  }
  throw new AvisError('badModel', `A graph gave ${tensor.type} where floats were expected.`);
}

/** IEEE 754 binary16 → float32. */
export function fromHalf(half: Uint16Array): Float32Array {
  const out = new Float32Array(half.length);
  for (let i = 0; i < half.length; i++) {
    const bits = half[i]!;
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 0x1f;
    const fraction = bits & 0x3ff;
    if (exponent === 0x1f) out[i] = fraction ? NaN : sign * Infinity;
    else if (exponent === 0) out[i] = sign * fraction * 2 ** -24;
    else out[i] = sign * (1024 + fraction) * 2 ** (exponent - 25);
  }
  return out;
}

const bits = new Uint32Array(1);
const float = new Float32Array(bits.buffer);

/** float32 → IEEE 754 binary16, ties to even. */
export function toHalf(values: Float32Array): Uint16Array {
  const out = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    float[0] = values[i]!;
    const word = bits[0]!;
    const sign = (word >>> 16) & 0x8000;
    const magnitude = word & 0x7fffffff;
    if (magnitude > 0x7f800000) out[i] = sign | 0x7e00;
    else if (magnitude >= 0x477ff000) out[i] = sign | 0x7c00;
    else if (magnitude < 0x38800000) {
      // Subnormal: adding 2⁻¹ of the last place's scale makes the hardware round.
      float[0] = Math.abs(values[i]!) + 0.5;
      out[i] = sign | (bits[0]! - 0x3f000000);
    } else {
      const odd = (magnitude >>> 13) & 1;
      out[i] = sign | ((magnitude - 0x38000000 + 0xfff + odd) >>> 13);
    }
  }
  return out;
}
