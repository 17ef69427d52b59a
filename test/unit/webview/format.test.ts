import assert from 'node:assert/strict';
import {
  formatBytes,
  formatCount,
  formatFlops,
  formatMs,
  formatScore,
  formatShare,
} from '../../../webview/format';

describe('formatting', () => {
  const cases: [string, string][] = [
    [formatShare(0.7134), '71 %'],
    [formatShare(-0.2), '−20 %'],
    [formatShare(0.004), '0.4 %'],
    [formatShare(0), '0 %'],
    [formatShare(0.9959), '99.6 %'],
    [formatShare(0.99999), '99.9 %'],
    [formatShare(1), '100 %'],
    [formatShare(2.5), '250 %'],
    [formatScore(-0.7071), '−0.71'],
    [formatCount(16384), '16\u202f384'],
    [formatMs(0), '0 ms'],
    [formatMs(0.44), '0.4 ms'],
    [formatMs(312.4), '312 ms'],
    [formatMs(999.9), '1.00 s'],
    [formatMs(12_340), '12.3 s'],
    [formatMs(59_990), '1 min 0 s'],
    [formatMs(75_000), '1 min 15 s'],
    [formatFlops(0), '0 FLOP'],
    [formatFlops(3.21e9), '3.21 GFLOP'],
    [formatFlops(45e12), '45 TFLOP'],
    [formatBytes(1536), '1.50 KiB'],
    [formatBytes(300 * 2 ** 20), '300 MiB'],
  ];
  for (const [written, expected] of cases) {
    it(`writes ${expected}`, () => assert.equal(written, expected));
  }
});
