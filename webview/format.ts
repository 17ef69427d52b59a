/** How figures are written for people. */

/** 0.7134 → "71 %". Near 0 and near 1 a digit is kept, so that neither is claimed falsely. */
export function formatShare(share: number): string {
  const percent = share * 100;
  const size = Math.abs(percent);
  const exact = (size > 0 && size < 1) || (size > 99 && size < 100);
  const written = exact && size > 99.9 ? Math.sign(percent) * 99.9 : percent;
  return `${written.toFixed(exact ? 1 : 0)} %`.replace('-', '−');
}

/** Two decimals with a true minus sign: scores and p̂. */
export function formatScore(score: number): string {
  return score.toFixed(2).replace('-', '−');
}

export function formatCount(count: number): string {
  return Math.round(count).toLocaleString('en-US').replaceAll(',', '\u202f');
}

/** 0.4 → "0.4 ms", 312 → "312 ms", 1240 → "1.24 s", 75000 → "1 min 15 s". */
export function formatMs(milliseconds: number): string {
  if (milliseconds > 0 && milliseconds < 9.95) return `${milliseconds.toFixed(1)} ms`;
  if (milliseconds < 999.5) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 59.95) return `${seconds.toFixed(seconds < 9.995 ? 2 : 1)} s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** Decimal multiples, as data sheets use for operations: 3.2e9 → "3.2 GFLOP". */
export function formatFlops(flops: number): string {
  return `${scaled(flops, 1000, ['', 'k', 'M', 'G', 'T', 'P'])}FLOP`;
}

/** 21_400_000 → "21.4 M". */
export function formatAmount(amount: number): string {
  return scaled(amount, 1000, ['', 'k', 'M', 'G', 'T']).trim();
}

/** Binary multiples, as memory is counted: 1536 → "1.5 KiB". */
export function formatBytes(bytes: number): string {
  return `${scaled(bytes, 1024, ['', 'Ki', 'Mi', 'Gi', 'Ti'])}B`;
}

function scaled(value: number, base: number, prefixes: readonly string[]): string {
  let power = 0;
  let rest = value;
  while (rest >= base && power < prefixes.length - 1) {
    rest /= base;
    power += 1;
  }
  const digits = rest >= 100 || Number.isInteger(rest) ? 0 : rest >= 10 ? 1 : 2;
  return `${rest.toFixed(digits)} ${prefixes[power]!}`;
}
