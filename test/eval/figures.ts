import type { Interval } from './statistics';
import type { PredictorQuality, Summary } from './summary';
import {
  type Axis,
  circle,
  document,
  frame,
  heat,
  heightPx,
  legend,
  line,
  palette,
  rectangle,
  text,
  ticksBetween,
  titleText,
  widthPx,
} from './svg';

/** @returns SVG documents by file name */
export function drawFigures(summary: Summary): Record<string, string> {
  return {
    'heatmap.svg': drawHeatmap(summary),
    'scatter.svg': drawScatter(summary),
    'pruners.svg': drawPruners(summary),
    'rollouts.svg': drawRollouts(summary),
    ...(summary.predictor && { 'calibration.svg': drawCalibration(summary.predictor) }),
  };
}

/** Accuracy over ρ × K, the cost in small beneath it (the paper's Fig. 3). */
function drawHeatmap({ grid }: Summary): string {
  const ks = [...new Set(grid.map(({ k }) => k))];
  const ratios = [...new Set(grid.map(({ ratio }) => ratio))];
  const low = Math.min(...grid.map(({ accuracy }) => accuracy));
  const high = Math.max(...grid.map(({ accuracy }) => accuracy));
  const left = 90;
  const top = 60;
  const cellWidth = (widthPx - left - 24) / ks.length;
  const cellHeight = (heightPx - top - 24) / ratios.length;
  return document([
    titleText('Accuracy (and cost over vanilla) by pruning and rollouts'),
    ...ks.map((k, column) =>
      text(left + (column + 0.5) * cellWidth, top - 8, `K = ${k}`, 'middle'),
    ),
    ...ratios.map((ratio, row) =>
      text(left - 10, top + (row + 0.5) * cellHeight + 4, `ρ = ${ratio}`, 'end'),
    ),
    ...grid.map(({ ratio, k, accuracy, cost }) => {
      const x = left + ks.indexOf(k) * cellWidth;
      const y = top + ratios.indexOf(ratio) * cellHeight;
      const { fill, ink } = heat((accuracy - low) / (high - low || 1));
      return [
        rectangle(x + 1, y + 1, cellWidth - 2, cellHeight - 2, fill),
        text(x + cellWidth / 2, y + cellHeight / 2, percent(accuracy), 'middle', ink),
        text(x + cellWidth / 2, y + cellHeight / 2 + 18, `${cost.toFixed(2)}×`, 'middle', ink),
      ].join('');
    }),
  ]);
}

/** Cost against accuracy, with 95 % intervals of the rows (the paper's Fig. 1). */
function drawScatter({ rows, grid }: Summary): string {
  const costs = [...rows.map(({ cost }) => cost.value), ...grid.map(({ cost }) => cost)];
  const lows = [
    ...rows.map(({ accuracy }) => accuracy.low),
    ...grid.map(({ accuracy }) => accuracy),
  ];
  const highs = [
    ...rows.map(({ accuracy }) => accuracy.high),
    ...grid.map(({ accuracy }) => accuracy),
  ];
  const { x, y, markup } = frame(
    'Cost and accuracy',
    axis('cost over vanilla (floating-point operations)', 0, Math.max(...costs) * 1.05, times),
    axis(
      'accuracy',
      Math.max(0, Math.min(...lows) - 0.02),
      Math.min(1, Math.max(...highs) + 0.02),
      percent,
    ),
  );
  const ks = [...new Set(grid.map(({ k }) => k))];
  const adaptive = rows.filter(({ name }) => name === 'AVIS');
  return document([
    markup,
    ...grid.map(({ k, cost, accuracy }) =>
      circle(x(cost), y(accuracy), 5, palette[ks.indexOf(k)]!),
    ),
    ...adaptive.map((row) => {
      const at = x(row.cost.value);
      return [
        whisker(at, y, row.accuracy, '#000'),
        `<path transform="translate(${at.toFixed(1)} ${y(row.accuracy.value).toFixed(1)})" d="M0-10 3-3 10-3 4 2 6 9 0 5-6 9-4 2-10-3-3-3Z" fill="#000"/>`,
        text(at + 12, y(row.accuracy.value) - 8, row.name),
      ].join('');
    }),
    legend(ks.map((k, i) => ({ label: `fixed ρ, K = ${k}`, color: palette[i]! }))),
  ]);
}

/** Accuracy at K = 1 by pruner. */
function drawPruners({ pruners, rows }: Summary): string {
  const vanilla = rows[0]!.accuracy.value;
  const values = [...pruners.flatMap(({ accuracy }) => [accuracy.low, accuracy.high]), vanilla];
  const { x, y, markup } = frame(
    'Pruners at K = 1',
    axis('share of visual tokens pruned', 0, 0.85, percent),
    axis(
      'accuracy',
      Math.max(0, Math.min(...values) - 0.02),
      Math.min(1, Math.max(...values) + 0.02),
      percent,
    ),
  );
  const names = [...new Set(pruners.map(({ name }) => name))];
  return document([
    markup,
    ...names.map((name, index) => {
      const own = pruners.filter((pruner) => pruner.name === name);
      const color = palette[index]!;
      const shift = (index - (names.length - 1) / 2) * 4;
      const points = [
        [x(0), y(vanilla)],
        ...own.map(({ ratio, accuracy }) => [x(ratio) + shift, y(accuracy.value)]),
      ];
      return [
        `<polyline points="${points.map((point) => point.join(',')).join(' ')}" fill="none" stroke="${color}" stroke-width="2"/>`,
        ...own.map(
          ({ ratio, accuracy }) =>
            whisker(x(ratio) + shift, y, accuracy, color) +
            circle(x(ratio) + shift, y(accuracy.value), 4, color),
        ),
      ].join('');
    }),
    legend(names.map((label, i) => ({ label, color: palette[i]! }))),
  ]);
}

/** How often AVIS chose each K (the paper's Fig. 4). */
function drawRollouts({ rolloutHistogram, items }: Summary): string {
  const totals = rolloutHistogram.map(({ counts }) => counts.easy + counts.middle + counts.hard);
  const levels = ['easy', 'middle', 'hard'] as const;
  const ks = rolloutHistogram.map(({ k }) => k);
  const { x, y, markup } = frame(
    'Rollouts that AVIS chose',
    {
      label: 'K',
      min: 0,
      max: ks.length,
      ticks: ks.map((_, i) => i + 0.5),
      format: (value) => String(ks[Math.floor(value)]),
    },
    axis('share of items', 0, Math.max(...totals) / items, percent),
  );
  return document([
    markup,
    ...rolloutHistogram.map(({ counts }, index) => {
      let below = 0;
      return levels
        .map((level, i) => {
          const from = below / items;
          below += counts[level];
          const to = below / items;
          return rectangle(x(index + 0.2), y(to), x(0.6) - x(0), y(from) - y(to), palette[i]!);
        })
        .join('');
    }),
    legend(levels.map((label, i) => ({ label, color: palette[i]! }))),
  ]);
}

/** Predicted against measured solvability; a dot's area is its number of items. */
function drawCalibration({ calibration, auroc }: PredictorQuality): string {
  const { x, y, markup } = frame(
    `Difficulty predictor${auroc === null ? '' : `, AUROC ${auroc.toFixed(3)}`}`,
    axis('predicted solvability', 0, 1, percent),
    axis('measured solvability (8 rollouts)', 0, 1, percent),
  );
  const most = Math.max(...calibration.map(({ items }) => items));
  return document([
    markup,
    line(x(0), y(0), x(1), y(1), '#999'),
    ...calibration.map(
      ({ predicted, measured, items }) =>
        whisker(x(predicted), y, measured, palette[0]) +
        circle(x(predicted), y(measured.value), 3 + 7 * Math.sqrt(items / most), palette[0]),
    ),
  ]);
}

function axis(label: string, min: number, max: number, format: Axis['format']): Axis {
  return { label, min, max, ticks: ticksBetween(min, max), format };
}

function whisker(at: number, y: (value: number) => number, { low, high }: Interval, color: string) {
  return line(at, y(low), at, y(high), color, 1.5);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}

function times(value: number): string {
  return `${value}×`;
}
