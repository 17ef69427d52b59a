import type { Checkpoint } from '../../../src/engine/checkpoint';
import type { PreparedImage } from '../../../src/engine/families/family';

/**
 * The 8-bit pixels behind `pixel_values`: rescaling and normalizing undone, frames that repeat a still
 * image taken once, padded patches left out. Throws where a value is not within 1e-4 of a whole level.
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
  const mask = feeds['pixel_attention_mask']?.data;
  const pixels: number[] = [];
  const push = (value: number, channel: number) => {
    const level = (value * deviation[channel]! + mean[channel]!) * 255;
    if (Math.abs(level - Math.round(level)) > 1e-4) throw new Error(`${level} is not a level`);
    pixels.push(Math.round(level));
  };
  if (dims.length === 3) {
    // [tiles, patches, patch² · 3], channels last
    const patchValues = dims[2]!;
    values.forEach((value, i) => {
      if (mask![Math.floor(i / patchValues)]) push(value, i % 3);
    });
    return pixels;
  }
  // [patches, 3 · frames · patch²] or [1, tiles, 3, side, side]
  const area = dims.length === 2 ? dims[1]! / 3 / frames : dims.at(-1)! * dims.at(-2)!;
  values.forEach((value, i) => {
    const plane = Math.floor(i / area);
    if (plane % frames === 0) push(value, (plane / frames) % 3);
  });
  return pixels;
}
