import type { Checkpoint } from '../../../src/engine/checkpoint';
import type { PreparedImage } from '../../../src/engine/families/family';

/**
 * The 8-bit pixels behind `pixel_values`: rescaling and normalizing undone, frames that repeat a still
 * image taken once. Throws where a value is not within 1e-4 of a whole level.
 */
export function readPreparedPixels(
  { feeds }: PreparedImage,
  { preprocessor }: Checkpoint,
): number[] {
  const mean = preprocessor.numbers('image_mean');
  const deviation = preprocessor.numbers('image_std');
  const frames = preprocessor.number('temporal_patch_size', 1);
  const { data, dims } = feeds['pixel_values']!;
  const values = data as Float32Array;
  // [patches, 3 · frames · patch²] or [batch, tiles, 3, side, side]
  const area = dims.length === 2 ? dims[1]! / 3 / frames : dims.at(-1)! * dims.at(-2)!;
  const pixels: number[] = [];
  for (let start = 0; start < values.length; start += area) {
    const plane = start / area;
    if (plane % frames !== 0) continue;
    const channel = (plane / frames) % 3;
    for (let i = start; i < start + area; i++) {
      const level = (values[i]! * deviation[channel]! + mean[channel]!) * 255;
      if (Math.abs(level - Math.round(level)) > 1e-4) throw new Error(`${level} is not a level`);
      pixels.push(Math.round(level));
    }
  }
  return pixels;
}
