import assert from 'node:assert/strict';
import {
  positionOnScale,
  type Rgb,
  scoreHistogram,
  scoreScale,
  viridis,
} from '../../../webview/colorMap';

/** CIE L* of an sRGB colour. */
function lightness(color: Rgb): number {
  const [red, green, blue] = color.map((component) => {
    const value = component / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  const luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  return luminance > 0.008856 ? 116 * Math.cbrt(luminance) - 16 : 903.3 * luminance;
}

/** Deuteranopia by Viénot, Brettel and Mollon 1999, in linear light; lightness of what is seen. */
function lightnessWithoutGreenCones(color: Rgb): number {
  const [red, green, blue] = color.map((component) => (component / 255) ** 2.2) as [
    number,
    number,
    number,
  ];
  const yellow = 0.29275 * red + 0.70725 * green;
  const seenBlue = -0.02234 * red + 0.02234 * green + blue;
  const luminance = 0.9278 * yellow + 0.0722 * seenBlue;
  return 116 * Math.cbrt(luminance) - 16;
}

describe('viridis', () => {
  it('has the published end and middle colours', () => {
    assert.deepEqual(viridis(0), [0x44, 0x01, 0x54]);
    assert.deepEqual(viridis(1), [0xfd, 0xe7, 0x25]);
    // matplotlib's viridis at 0.5 is (0.127568, 0.566949, 0.550556); ten control points come within 3/255.
    for (const [index, expected] of [32.5, 144.6, 140.4].entries()) {
      assert.ok(Math.abs(viridis(0.5)[index]! - expected) <= 3);
    }
  });

  it('takes anything beyond the ends as the ends', () => {
    assert.deepEqual(viridis(-3), viridis(0));
    assert.deepEqual(viridis(7), viridis(1));
  });

  it('rises in lightness by even steps, with full and with two-colour vision', () => {
    for (const seen of [lightness, lightnessWithoutGreenCones]) {
      const values = Array.from({ length: 21 }, (_, step) => seen(viridis(step / 20)));
      const steps = values.slice(1).map((value, index) => value - values[index]!);
      // Uniform would be 3.8 a step of 20; the control points keep each within 1 and 7.
      assert.ok(Math.min(...steps) > 1, `smallest step ${Math.min(...steps)}`);
      assert.ok(Math.max(...steps) < 7, `largest step ${Math.max(...steps)}`);
    }
  });
});

describe('score scale', () => {
  it('spans the lowest to the highest score', () => {
    assert.deepEqual(scoreScale([-0.5, 0.25, -0.9]), { low: -0.9, high: 0.25 });
    assert.deepEqual(scoreScale([]), { low: 0, high: 0 });
  });

  it('places scores, and the middle where all are equal', () => {
    const scale = { low: -1, high: 1 };
    assert.equal(positionOnScale(scale, -1), 0);
    assert.equal(positionOnScale(scale, 0), 0.5);
    assert.equal(positionOnScale(scale, 4), 1);
    assert.equal(positionOnScale({ low: 0.3, high: 0.3 }, 0.3), 0.5);
  });

  it('counts every score once', () => {
    assert.deepEqual(scoreHistogram([0, 0.1, 0.5, 0.99, 1], { low: 0, high: 1 }, 4), [2, 0, 1, 2]);
  });
});
