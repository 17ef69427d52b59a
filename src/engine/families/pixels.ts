import type { ConfigReader } from '../json';
import type { ResampleFilter } from '../resample';

/** Pillow's numbers in preprocessor_config.json. */
const resampleFilters: Record<number, ResampleFilter> = {
  1: 'lanczos',
  2: 'bilinear',
  3: 'bicubic',
};

/** @param fallback the family's own. */
export function resampleFilterOf(
  preprocessor: ConfigReader,
  fallback: ResampleFilter,
): ResampleFilter {
  return resampleFilters[preprocessor.number('resample', -1)] ?? fallback;
}

/** [3][256]: what an 8-bit value of each channel becomes. */
export function normalizationTable(preprocessor: ConfigReader): Float32Array[] {
  const scale = preprocessor.boolean('do_rescale', true)
    ? preprocessor.number('rescale_factor', 1 / 255)
    : 1;
  const normalize = preprocessor.boolean('do_normalize', true);
  const mean = normalize ? preprocessor.numbers('image_mean') : [0, 0, 0];
  const deviation = normalize ? preprocessor.numbers('image_std') : [1, 1, 1];
  return [0, 1, 2].map((channel) =>
    Float32Array.from(
      { length: 256 },
      (_, value) => (value * scale - mean[channel]!) / deviation[channel]!,
    ),
  );
}

/** Python's round(). */
export function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}
