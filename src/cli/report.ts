import type { ModelInfo, RunResult, VisualRegion, VisualResult } from '../shared/types';

export interface ReportStyle {
  /** 24-bit colour escapes. */
  color: boolean;
  /** Columns of the terminal. */
  width: number;
}

/** The short report for people, without a final newline. */
export function formatReport(
  result: RunResult,
  model: ModelInfo,
  style: ReportStyle,
  timing: { loadMs: number; totalMs: number },
): string {
  const { visual, compute, timing: ms } = result;
  const lines = [
    `Answer    ${result.vote.answer ?? 'none: no rollout gave one'}`,
    '',
    `Difficulty  ${describeDifficulty(result)}`,
    `Vision      ${visual.kept} of ${visual.total} visual tokens kept, ${percent(visual.pruneRatio)} pruned`,
    ...visual.regions.flatMap((region) => ['', ...formatHeatmap(region, visual, style)]),
    '',
    ...formatRollouts(result),
    '',
    `Compute   ${describeSaving(compute.saved)} vanilla${compute.vanillaSource === 'estimated' ? ' (its answer length estimated)' : ''}, ${describeSaving(compute.savedWithVision)} it with the vision encoder counted`,
    `          ${formatFlops(compute.run.prefill)} prefill + ${formatFlops(compute.run.decode)} decode; vanilla ${formatFlops(compute.vanilla.prefill)} + ${formatFlops(compute.vanilla.decode)}; vision ${formatFlops(compute.run.vision)}`,
    `KV cache  ${formatBytes(compute.kvBytes)}; vanilla ${formatBytes(compute.vanillaKvBytes)}`,
    `Time      ${formatMs(timing.totalMs)} = load ${formatMs(timing.loadMs)}, image ${formatMs(ms.decodeImage)}, vision ${formatMs(ms.vision)}, KDV ${formatMs(ms.kdv)}, prefill ${formatMs(ms.prefill)}, rollouts ${formatMs(ms.rollouts)}`,
    `Model     ${model.name} (${model.family}) on ${model.device.device}`,
  ];
  if (visual.familiarity?.unfamiliar) {
    lines.push('Note      this picture is unlike those that the model was trained on');
  }
  lines.push(...model.warnings.map((warning) => `Note      ${warning}`));
  return lines.join('\n');
}

/**
 * One region's visual tokens, two characters wide each: kept ones by score, from dark to bright (or
 * light to full shading), pruned ones as dots. Tokens are pooled where the terminal is too narrow; a
 * cell is as bright as its best kept token.
 */
export function formatHeatmap(
  region: VisualRegion,
  visual: VisualResult,
  style: ReportStyle,
): string[] {
  const kept = new Set(visual.keep);
  const keptScores = visual.keep.map((token) => visual.scores[token]!);
  const low = Math.min(...keptScores);
  const span = Math.max(...keptScores) - low || 1;
  const pool = Math.max(1, Math.ceil((region.columns * 2) / style.width));

  const lines: string[] = [];
  for (let top = 0; top < region.rows; top += pool) {
    let line = '';
    for (let left = 0; left < region.columns; left += pool) {
      let best: number | null = null;
      for (let row = top; row < Math.min(top + pool, region.rows); row++) {
        for (let column = left; column < Math.min(left + pool, region.columns); column++) {
          const token = region.firstToken + row * region.columns + column;
          const score = (visual.scores[token]! - low) / span;
          if (kept.has(token) && (best === null || score > best)) best = score;
        }
      }
      line += formatCell(best, style.color);
    }
    lines.push(line);
  }
  return lines;
}

/** Viridis at equal steps. */
const viridis = [
  [68, 1, 84],
  [65, 68, 135],
  [42, 120, 142],
  [34, 168, 132],
  [122, 209, 81],
  [253, 231, 37],
] as const;
const shades = ['░░', '▒▒', '▓▓', '██'] as const;

/** @param score in [0, 1]; null = pruned */
function formatCell(score: number | null, color: boolean): string {
  if (score === null) return color ? '\u001B[2m··\u001B[0m' : '··';
  if (!color) return shades[Math.min(Math.floor(score * shades.length), shades.length - 1)]!;
  const [r, g, b] = viridis[Math.round(score * (viridis.length - 1))]!;
  return `\u001B[48;2;${r};${g};${b}m  \u001B[0m`;
}

function describeDifficulty({ difficulty }: RunResult): string {
  const { source, solvability, wanted, k, cap } = difficulty;
  const estimate = solvability === null ? '' : `solvability ${solvability.toFixed(2)}, `;
  switch (source) {
    case 'fixed':
      return `${estimate}K = ${k} as asked`;
    case 'predictor':
      return `${estimate}K = ${k}${wanted > k ? ` (${wanted} wanted, ${cap} allowed)` : ''}`;
    case 'betaStopping':
      return k < wanted
        ? `no predictor; the vote was clear after K = ${k} of at most ${wanted}`
        : `no predictor; K = ${k}, the most allowed`;
    default:
      return source satisfies never;
  }
}

function formatRollouts({ rollouts, vote }: RunResult): string[] {
  const answers = rollouts.map(({ answer }) => answer ?? '(none)');
  const width = Math.min(Math.max(...answers.map((answer) => answer.length)), 40);
  return rollouts.map((rollout, i) => {
    const mark = rollout.answer !== null && rollout.answer === vote.answer ? '✓' : ' ';
    const answer = answers[i]!.replaceAll(/\s+/g, ' ');
    const shown = answer.length > width ? `${answer.slice(0, width - 1)}…` : answer.padEnd(width);
    const note =
      rollout.stopped === 'earlyStop'
        ? ', stopped early: the vote was certain'
        : rollout.stopped === 'maxNewTokens'
          ? ', cut at the token limit'
          : '';
    return `Rollout ${String(i + 1).padStart(2)} ${mark} ${shown}  ${rollout.tokens} tokens, ${formatMs(rollout.elapsedMs)}${note}`;
  });
}

function describeSaving(saved: number): string {
  return saved >= 0 ? `${percent(saved)} less than` : `${percent(-saved)} more than`;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}

function formatFlops(flops: number): string {
  return formatScaled(flops, 1000, ['FLOP', 'kFLOP', 'MFLOP', 'GFLOP', 'TFLOP', 'PFLOP']);
}

function formatBytes(bytes: number): string {
  return formatScaled(bytes, 1024, ['B', 'KiB', 'MiB', 'GiB']);
}

function formatScaled(value: number, base: number, units: string[]): string {
  let scaled = value;
  let unit = 0;
  while (scaled >= base && unit < units.length - 1) {
    scaled /= base;
    unit++;
  }
  return `${Number(scaled.toPrecision(3))} ${units[unit]}`;
}

function formatMs(ms: number): string {
  return ms < 1000 ? `${ms.toFixed(ms < 10 ? 1 : 0)} ms` : `${(ms / 1000).toFixed(2)} s`;
}
