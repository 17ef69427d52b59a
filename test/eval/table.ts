import type { Interval } from './statistics';
import type { Summary } from './summary';

/** Median milliseconds from the file's bytes to the answer, by row. */
export type WallTimes = Record<string, number>;

/** The evaluation for a terminal. */
export function formatTable(summary: Summary, wall: WallTimes): string {
  const rows = [
    ['', 'accuracy', 'to vanilla', 'cost', 'with vision', 'pruned', 'K', 'wall'],
    ...summary.rows.map((row) => [
      row.name,
      share(row.accuracy),
      points(row.gain),
      `${row.cost.value.toFixed(2)} [${row.cost.low.toFixed(2)}, ${row.cost.high.toFixed(2)}]`,
      row.costWithVision.toFixed(2),
      percent(row.pruned),
      row.rollouts.toFixed(1),
      wall[row.name] === undefined ? '' : `${wall[row.name]!.toFixed(0)} ms`,
    ]),
  ];
  const tasks = Object.keys(summary.rows[0]!.byTask);
  const shown = summary.rows.filter(({ name }) =>
    ['vanilla', 'ρ 0, K 7', 'ρ 0.75, K 1', 'AVIS'].includes(name),
  );
  const breakdown = [
    ['', ...shown.map(({ name }) => name)],
    ...tasks.map((task) => [task, ...shown.map(({ byTask }) => share(byTask[task]!))]),
    ...(['easy', 'middle', 'hard'] as const).map((level) => [
      `difficulty: ${level}`,
      ...shown.map(({ byDifficulty }) => share(byDifficulty[level])),
    ]),
  ];
  const pruners = [
    ['K = 1', 'accuracy', 'to vanilla'],
    ...summary.pruners.map(({ name, ratio, accuracy, gain }) => [
      `ρ ${ratio}, ${name}`,
      share(accuracy),
      points(gain),
    ]),
  ];
  return [
    `${summary.items} items; [95 % confidence]; cost = operations over vanilla's, without the vision encoder`,
    align(rows),
    align(breakdown),
    align(pruners),
    describeFindings(summary).join('\n'),
  ].join('\n\n');
}

function describeFindings(summary: Summary): string[] {
  const { middleSolvability, bestFixedWithinCost, predictor } = summary;
  const lines = [
    `Solvability, items by right rollouts of ${summary.solvabilityHistogram.length - 1}: ${summary.solvabilityHistogram.join(' ')}`,
  ];
  if (middleSolvability.items > 0) {
    lines.push(
      `K = 7 on the ${middleSolvability.items} items of middle solvability (2 to 6 of 8): ${points(middleSolvability.gain)} points over K = 1`,
    );
  }
  if (bestFixedWithinCost) {
    const { ratio, k, accuracy, cost } = bestFixedWithinCost;
    lines.push(
      `Best fixed setting of no greater cost than AVIS: ρ ${ratio}, K ${k}: ${percent(accuracy)} at ${cost.toFixed(2)}`,
    );
  }
  if (predictor) {
    lines.push(
      `Predictor AUROC: ${decimal(predictor.auroc)} (right at least half of the time), ${decimal(predictor.aurocAtMedian)} (at least the median), ${decimal(predictor.aurocWithinTasks)} (mean within tasks)`,
    );
  }
  return lines;
}

function align(rows: string[][]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function share({ value, low, high }: Interval): string {
  if (Number.isNaN(value)) return 'none';
  return `${percent(value)} [${percent(low)}, ${percent(high)}]`;
}

function points({ value, low, high }: Interval): string {
  return `${signed(value)} [${signed(low)}, ${signed(high)}]`;
}

function signed(share: number): string {
  return `${share >= 0 ? '+' : '−'}${Math.abs(share * 100).toFixed(1)}`;
}

function percent(value: number): string {
  return `${(value * 100).toFixed(1)} %`;
}

function decimal(value: number | null): string {
  return value === null ? 'n/a' : value.toFixed(3);
}
