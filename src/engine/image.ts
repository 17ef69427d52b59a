import type { Sharp } from 'sharp';
import { AvisError } from '../shared/errors';

/** Eight bits a channel, rows from the top; `data` is [height, width, 3]. */
export interface RgbImage {
  width: number;
  height: number;
  data: Uint8Array;
}

const readableFormats = new Set(['png', 'jpeg', 'webp', 'gif', 'tiff', 'heif', 'avif']);
const formatNames = 'PNG, JPEG, WebP, GIF, TIFF and AVIF';
/** 300 MB as RGB; larger files are refused from their header alone, which also stops decompression bombs. */
export const maxImagePixels = 100_000_000;

/**
 * Decodes the first frame: EXIF orientation applied, transparency laid on white, 16 bits cut to 8,
 * CMYK and embedded profiles converted to sRGB.
 * @throws {AvisError} 'badInput' naming the file and what to do.
 */
export async function decodeImage(bytes: Uint8Array, name: string): Promise<RgbImage> {
  if (bytes.byteLength === 0) throw new AvisError('badInput', `${name} is empty.`);
  if (bytes[0] === 0x42 && bytes[1] === 0x4d) {
    throw new AvisError('badInput', `${name} is a BMP image, which can't be read. Save it as PNG.`);
  }
  const { default: sharp } = await import('sharp');
  const input = (): Sharp =>
    sharp(bytes, { limitInputPixels: false, failOn: 'truncated', sequentialRead: true });

  const header = await input()
    .metadata()
    .catch((error: unknown) => {
      throw new AvisError(
        'badInput',
        `${name} can't be read as an image. Readable are ${formatNames}.`,
        { cause: error },
      );
    });
  if (!readableFormats.has(header.format)) {
    throw new AvisError(
      'badInput',
      `${name} is ${header.format.toUpperCase()}, which can't be asked about. Readable are ${formatNames}.`,
    );
  }
  const { width, height } = header;
  if (width * height > maxImagePixels) {
    throw new AvisError(
      'badInput',
      `${name} has ${width} × ${height} pixels; at most ${maxImagePixels / 1e6} million can be read. Scale it down first.`,
    );
  }
  try {
    const { data, info } = await input()
      .autoOrient()
      .flatten({ background: '#ffffff' })
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    return { width: info.width, height: info.height, data: toRgb(data, info.channels) };
  } catch (error) {
    throw new AvisError('badInput', `${name} is damaged or cut off and can't be decoded.`, {
      cause: error,
    });
  }
}

/**
 * A PNG for screens: what `decodeImage` reads, scaled down so that neither side is longer than given.
 * @throws {AvisError} as `decodeImage`.
 */
export async function previewImage(
  bytes: Uint8Array,
  name: string,
  maxSidePx: number,
): Promise<Uint8Array> {
  const { width, height, data } = await decodeImage(bytes, name);
  const { default: sharp } = await import('sharp');
  return sharp(data, { raw: { width, height, channels: 3 } })
    .resize({ width: maxSidePx, height: maxSidePx, fit: 'inside', withoutEnlargement: true })
    .png()
    .toBuffer();
}

function toRgb(data: Buffer, channels: number): Uint8Array {
  if (channels === 3) return data;
  const pixels = data.length / channels;
  const rgb = new Uint8Array(pixels * 3);
  const gray = channels < 3;
  for (let i = 0; i < pixels; i++) {
    for (let c = 0; c < 3; c++) rgb[3 * i + c] = data[channels * i + (gray ? 0 : c)]!;
  }
  return rgb;
}
