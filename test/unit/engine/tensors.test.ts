import { deepStrictEqual, strictEqual } from 'node:assert/strict';
import { fromHalf, toHalf } from '../../../src/engine/tensors';

describe('half precision', () => {
  it('gives all 65,536 numbers back', () => {
    const all = Uint16Array.from({ length: 65_536 }, (_, i) => i);
    const back = toHalf(fromHalf(all));
    for (const half of all) {
      const isNaNHalf = (half & 0x7c00) === 0x7c00 && (half & 0x3ff) !== 0;
      if (isNaNHalf) strictEqual(Number.isNaN(fromHalf(back.subarray(half, half + 1))[0]), true);
      else strictEqual(back[half], half);
    }
  });

  it('rounds to the nearest, ties to even, and overflows to infinity', () => {
    // 1 + 2⁻¹¹ lies between 1 and 1 + 2⁻¹⁰; 65,520 between the largest number and infinity.
    const values = [1 + 2 ** -11, 1 + 3 * 2 ** -11, 1 + 2 ** -11 + 2 ** -20, 65_519, 65_520];
    const expected = [1, 1 + 2 ** -9, 1 + 2 ** -10, 65_504, Infinity];
    deepStrictEqual([...fromHalf(toHalf(Float32Array.from(values)))], expected);
    const tiny = [2 ** -24, 2 ** -25, 3 * 2 ** -25, -(2 ** -24)];
    deepStrictEqual(
      [...fromHalf(toHalf(Float32Array.from(tiny)))],
      [2 ** -24, 0, 2 ** -23, -(2 ** -24)],
    );
  });
});
