import type { RgbImage } from './image';

export type ResampleFilter = 'bilinear' | 'bicubic' | 'lanczos';

/** Half-width in source pixels at scale 1, and the kernel. */
const filters: Record<ResampleFilter, { support: number; weigh: (x: number) => number }> = {
  bilinear: { support: 1, weigh: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: { support: 2, weigh: cubic },
  lanczos: { support: 3, weigh: (x) => (Math.abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

/**
 * Resizes with the antialiased filter that the Python processors use: the integer arithmetic of
 * torchvision's uint8 path (aten `upsample_bicubic2d_aa` on uint8), which follows Pillow, so that a
 * model sees the very pixels it was trained on. sharp's and transformers.js's own resizing differ from
 * it by several levels.
 */
export function resample(
  image: RgbImage,
  width: number,
  height: number,
  filter: ResampleFilter,
): RgbImage {
  let { data } = image;
  if (width !== image.width) data = resampleRows(data, image.width, image.height, width, filter);
  if (height !== image.height) data = resampleColumns(data, width, image.height, height, filter);
  return { width, height, data };
}

interface Taps {
  /** First source index of each output, and how many weights it has. */
  first: Int32Array;
  count: Int32Array;
  /** [outputs, stride], fixed point with `precision` fractional bits. */
  weights: Int32Array;
  stride: number;
  precision: number;
}

function computeTaps(from: number, to: number, filter: ResampleFilter): Taps {
  const { support: baseSupport, weigh } = filters[filter];
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  const support = baseSupport * stretch;
  const stride = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(to);
  const count = new Int32Array(to);
  const real = new Float64Array(to * stride);
  let largest = 0;
  for (let i = 0; i < to; i++) {
    const center = scale * (i + 0.5);
    const start = Math.max(Math.trunc(center - support + 0.5), 0);
    const taps = Math.min(Math.trunc(center + support + 0.5), from) - start;
    let total = 0;
    for (let j = 0; j < taps; j++) {
      total += real[i * stride + j] = weigh((j + start - center + 0.5) / stretch);
    }
    for (let j = 0; j < taps; j++) {
      largest = Math.max(largest, (real[i * stride + j]! /= total));
    }
    first[i] = start;
    count[i] = taps;
  }
  // The most fractional bits with which every weight still fits 16 bits.
  let precision = 0;
  while (precision < 22 && Math.trunc(0.5 + largest * 2 ** (precision + 1)) < 1 << 15) precision++;
  const weights = Int32Array.from(real, (w) => Math.trunc(w * 2 ** precision + Math.sign(w) / 2));
  return { first, count, weights, stride, precision };
}

/** [height, width, 3] → [height, toWidth, 3] */
function resampleRows(
  data: Uint8Array,
  width: number,
  height: number,
  toWidth: number,
  filter: ResampleFilter,
): Uint8Array {
  const { first, count, weights, stride, precision } = computeTaps(width, toWidth, filter);
  const half = 1 << (precision - 1);
  const out = new Uint8ClampedArray(height * toWidth * 3);
  for (let y = 0, o = 0; y < height; y++) {
    for (let x = 0; x < toWidth; x++, o += 3) {
      let red = half;
      let green = half;
      let blue = half;
      let p = (y * width + first[x]!) * 3;
      const end = x * stride + count[x]!;
      for (let w = x * stride; w < end; w++, p += 3) {
        const weight = weights[w]!;
        red += weight * data[p]!;
        green += weight * data[p + 1]!;
        blue += weight * data[p + 2]!;
      }
      out[o] = red >> precision;
      out[o + 1] = green >> precision;
      out[o + 2] = blue >> precision;
    }
  }
  return new Uint8Array(out.buffer);
}

/** [height, width, 3] → [toHeight, width, 3] */
function resampleColumns(
  data: Uint8Array,
  width: number,
  height: number,
  toHeight: number,
  filter: ResampleFilter,
): Uint8Array {
  const { first, count, weights, stride, precision } = computeTaps(height, toHeight, filter);
  const rowLength = width * 3;
  const out = new Uint8ClampedArray(toHeight * rowLength);
  const sums = new Int32Array(rowLength);
  for (let y = 0; y < toHeight; y++) {
    sums.fill(1 << (precision - 1));
    for (let t = 0; t < count[y]!; t++) {
      const weight = weights[y * stride + t]!;
      const row = (first[y]! + t) * rowLength;
      for (let i = 0; i < rowLength; i++) sums[i]! += weight * data[row + i]!;
    }
    for (let i = 0; i < rowLength; i++) out[y * rowLength + i] = sums[i]! >> precision;
  }
  return new Uint8Array(out.buffer);
}

/** Keys' cubic with a = −0.5, as Pillow and torch's antialiased path use it. */
function cubic(x: number): number {
  const d = Math.abs(x);
  if (d < 1) return (1.5 * d - 2.5) * d * d + 1;
  if (d < 2) return ((-0.5 * d + 2.5) * d - 4) * d + 2;
  return 0;
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}
