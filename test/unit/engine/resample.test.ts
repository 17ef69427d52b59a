import { deepStrictEqual, strictEqual } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { resample } from '../../../src/engine/resample';
import { fixtures } from './reference';

interface Case {
  width: number;
  height: number;
  toWidth: number;
  toHeight: number;
  pixels: string;
  bilinear: string;
  bicubic: string;
}

const cases = JSON.parse(readFileSync(join(fixtures, 'resample.json'), 'utf8')) as Case[];
const bytes = (base64: string) => Uint8Array.from(Buffer.from(base64, 'base64'));

describe('resampling', () => {
  for (const each of cases) {
    const { width, height, toWidth, toHeight } = each;
    for (const filter of ['bilinear', 'bicubic'] as const) {
      it(`${filter} ${width} × ${height} → ${toWidth} × ${toHeight} is torch's to the bit`, () => {
        const image = { width, height, data: bytes(each.pixels) };
        const { data } = resample(image, toWidth, toHeight, filter);
        deepStrictEqual(data, bytes(each[filter]));
      });
    }
  }

  it('leaves an image of the wanted size alone', () => {
    const image = { width: 2, height: 1, data: Uint8Array.of(1, 2, 3, 4, 5, 6) };
    strictEqual(resample(image, 2, 1, 'lanczos').data, image.data);
  });

  it('keeps a constant with every filter', () => {
    const image = { width: 30, height: 20, data: new Uint8Array(1800).fill(131) };
    for (const filter of ['bilinear', 'bicubic', 'lanczos'] as const) {
      for (const size of [7, 45]) {
        const { data } = resample(image, size, size, filter);
        deepStrictEqual(data, new Uint8Array(size * size * 3).fill(131));
      }
    }
  });
});
