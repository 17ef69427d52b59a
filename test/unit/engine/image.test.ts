import { deepStrictEqual, ok, rejects, strictEqual } from 'node:assert/strict';
import { crc32, deflateSync } from 'node:zlib';
import sharp from 'sharp';
import { decodeImage } from '../../../src/engine/image';

/** 4 × 2: red, green, blue, white above; black, gray, yellow, cyan below. */
const pixels = Uint8Array.from(
  [
    [255, 0, 0],
    [0, 255, 0],
    [0, 0, 255],
    [255, 255, 255],
    [0, 0, 0],
    [128, 128, 128],
    [255, 255, 0],
    [0, 255, 255],
  ].flat(),
);
const source = () => sharp(pixels, { raw: { width: 4, height: 2, channels: 3 } });

describe('image decoding', () => {
  const lossless = {
    png: () => source().png(),
    webp: () => source().webp({ lossless: true }),
    gif: () => source().gif(),
    tiff: () => source().tiff({ compression: 'deflate' }),
    avif: () => source().avif({ lossless: true }),
  };
  for (const [format, encode] of Object.entries(lossless)) {
    it(`reads ${format}`, async () => {
      const image = await decodeImage(await encode().toBuffer(), `a.${format}`);
      deepStrictEqual([image.width, image.height], [4, 2]);
      deepStrictEqual([...image.data], [...pixels]);
    });
  }

  it('reads JPEG, turned as its EXIF orientation says', async () => {
    const large = source().resize(64, 32, { kernel: 'nearest' });
    const bytes = await large.withMetadata({ orientation: 6 }).jpeg({ quality: 100 }).toBuffer();
    const image = await decodeImage(bytes, 'a.jpg');
    deepStrictEqual([image.width, image.height], [32, 64]);
    // Turned clockwise, the red left upper corner is at the right.
    deepStrictEqual(colorAt(image, 28, 4).map(roughly), [250, 0, 0]);
    deepStrictEqual(colorAt(image, 4, 4).map(roughly), [0, 0, 0]);
  });

  it('lays transparency on white', async () => {
    const bytes = await sharp(Uint8Array.of(255, 0, 0, 0, 255, 0, 0, 255), {
      raw: { width: 2, height: 1, channels: 4 },
    })
      .png()
      .toBuffer();
    deepStrictEqual([...(await decodeImage(bytes, 'a.png')).data], [255, 255, 255, 255, 0, 0]);
  });

  it('cuts 16 bits to 8', async () => {
    const bytes = await sharp(Uint16Array.of(0, 32896, 65535), {
      raw: { width: 1, height: 1, channels: 3 },
    })
      .toColourspace('rgb16')
      .png()
      .toBuffer();
    deepStrictEqual([...(await decodeImage(bytes, 'a.png')).data], [0, 128, 255]);
  });

  it('reads gray with and without transparency as RGB', async () => {
    for (const channels of [1, 2] as const) {
      const raw = Uint8Array.of(77, 255).subarray(0, channels);
      const gray = sharp(raw, { raw: { width: 1, height: 1, channels } });
      const bytes = await gray.toColourspace('b-w').png().toBuffer();
      deepStrictEqual([...(await decodeImage(bytes, 'a.png')).data], [77, 77, 77]);
    }
  });

  it('converts CMYK', async () => {
    const bytes = await source()
      .resize(64, 32, { kernel: 'nearest' })
      .toColourspace('cmyk')
      .jpeg({ quality: 100 })
      .toBuffer();
    const image = await decodeImage(bytes, 'a.jpg');
    deepStrictEqual([image.width, image.height, image.data.length], [64, 32, 64 * 32 * 3]);
    const [red = 0, green = 0, blue = 0] = colorAt(image, 4, 4);
    ok(red > 180 && green < 90 && blue < 90, `${red} ${green} ${blue} is not red`);
  });

  it('takes the first frame of an animation', async () => {
    const frames = Uint8Array.from([...pixels, ...pixels.toReversed()]);
    const bytes = await sharp(frames, { raw: { width: 4, height: 4, channels: 3, pageHeight: 2 } })
      .gif({ delay: [100, 100] })
      .toBuffer();
    strictEqual((await sharp(bytes).metadata()).pages, 2);
    const image = await decodeImage(bytes, 'a.gif');
    deepStrictEqual([image.width, image.height, ...image.data], [4, 2, ...pixels]);
  });

  it('reads a single pixel', async () => {
    const bytes = await source().resize(1, 1).png().toBuffer();
    strictEqual((await decodeImage(bytes, 'dot.png')).data.length, 3);
  });

  const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>';
  const refused: [string, () => Promise<Uint8Array> | Uint8Array, RegExp][] = [
    ['an empty file', () => new Uint8Array(0), /^x\.png is empty\.$/],
    ['text', () => Buffer.from('hello'), /^x\.png can't be read as an image\. Readable are PNG/],
    ['BMP', () => Buffer.from('BM______________'), /is a BMP image.* Save it as PNG/],
    ['SVG', () => Buffer.from(svg), /is SVG, which can't be asked about/],
    ['a cut-off PNG', async () => cut(await noise().png().toBuffer()), /damaged or cut off/],
    ['a cut-off JPEG', async () => cut(await noise().jpeg().toBuffer()), /damaged or cut off/],
    [
      'a 20,000 × 20,000 bomb',
      () => pngHeader(20_000, 20_000),
      /20000 × 20000 pixels; at most 100/,
    ],
    ['a wide bomb', () => pngHeader(2_000_000_000, 2_000_000), /^x\.png /],
  ];
  for (const [name, bytes, message] of refused) {
    it(`refuses ${name}`, async () => {
      await rejects(decodeImage(await bytes(), 'x.png'), { code: 'badInput', message });
    });
  }
});

function colorAt(image: { width: number; data: Uint8Array }, x: number, y: number): number[] {
  return [...image.data.subarray(3 * (y * image.width + x), 3 * (y * image.width + x) + 3)];
}

/** JPEG loses a level here and there. */
function roughly(level: number): number {
  return Math.floor(level / 10) * 10;
}

function noise() {
  const data = Uint8Array.from({ length: 90 * 90 * 3 }, (_, i) => (i * i * 7919) % 251);
  return sharp(data, { raw: { width: 90, height: 90, channels: 3 } });
}

function cut(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(0, Math.floor(bytes.length / 2));
}

/** A PNG of a few bytes that claims to be huge. */
function pngHeader(width: number, height: number): Uint8Array {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width >>> 0, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(Buffer.alloc(1000))),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const body = Buffer.concat([Buffer.from(type), data]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(data.length);
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, sum]);
}
