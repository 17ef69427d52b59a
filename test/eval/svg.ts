/** Just enough SVG for the evaluation's figures. */

export interface Axis {
  label: string;
  min: number;
  max: number;
  ticks: number[];
  format: (value: number) => string;
}

export interface Frame {
  x: (value: number) => number;
  y: (value: number) => number;
  /** Title, axes, ticks and grid lines. */
  markup: string;
}

export const widthPx = 640;
export const heightPx = 420;
const margin = { left: 64, right: 24, top: 68, bottom: 56 };

/** Okabe and Ito's palette, which colour-blind readers can tell apart. */
export const palette = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00'] as const;

export function document(body: string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${widthPx} ${heightPx}" font-family="sans-serif" font-size="13" fill="#222">`,
    `<rect width="${widthPx}" height="${heightPx}" fill="#fff"/>`,
    ...body,
    '</svg>',
    '',
  ].join('\n');
}

export function frame(title: string, xAxis: Axis, yAxis: Axis): Frame {
  const right = widthPx - margin.right;
  const bottom = heightPx - margin.bottom;
  const x = (value: number) =>
    margin.left + ((value - xAxis.min) / (xAxis.max - xAxis.min)) * (right - margin.left);
  const y = (value: number) =>
    bottom - ((value - yAxis.min) / (yAxis.max - yAxis.min)) * (bottom - margin.top);
  const markup = [
    titleText(title),
    ...xAxis.ticks.map(
      (tick) =>
        line(x(tick), margin.top, x(tick), bottom, '#e5e5e5') +
        text(x(tick), bottom + 18, xAxis.format(tick), 'middle'),
    ),
    ...yAxis.ticks.map(
      (tick) =>
        line(margin.left, y(tick), right, y(tick), '#e5e5e5') +
        text(margin.left - 8, y(tick) + 4, yAxis.format(tick), 'end'),
    ),
    line(margin.left, bottom, right, bottom, '#444'),
    line(margin.left, margin.top, margin.left, bottom, '#444'),
    text((margin.left + right) / 2, heightPx - 14, xAxis.label, 'middle'),
    `<text transform="translate(18 ${(margin.top + bottom) / 2}) rotate(-90)" text-anchor="middle">${escapeText(yAxis.label)}</text>`,
  ].join('\n');
  return { x, y, markup };
}

export function titleText(title: string): string {
  return `<text x="${widthPx / 2}" y="24" text-anchor="middle" font-size="15" font-weight="bold">${escapeText(title)}</text>`;
}

export function line(
  x1: number,
  y1: number,
  x2: number,
  y2: number,
  stroke: string,
  width = 1,
): string {
  return `<line x1="${px(x1)}" y1="${px(y1)}" x2="${px(x2)}" y2="${px(y2)}" stroke="${stroke}" stroke-width="${width}"/>`;
}

export function rectangle(
  x: number,
  y: number,
  width: number,
  height: number,
  fill: string,
): string {
  return `<rect x="${px(x)}" y="${px(y)}" width="${px(width)}" height="${px(height)}" fill="${fill}"/>`;
}

export function circle(x: number, y: number, radius: number, fill: string): string {
  return `<circle cx="${px(x)}" cy="${px(y)}" r="${radius}" fill="${fill}"/>`;
}

export function text(
  x: number,
  y: number,
  content: string,
  anchor: 'start' | 'middle' | 'end' = 'start',
  fill = '#222',
): string {
  return `<text x="${px(x)}" y="${px(y)}" text-anchor="${anchor}" fill="${fill}">${escapeText(content)}</text>`;
}

/** One line of entries under the title. */
export function legend(entries: { label: string; color: string }[]): string {
  const stepPx = (widthPx - margin.left - margin.right) / entries.length;
  return entries
    .map(({ label, color }, i) => {
      const x = margin.left + (i + 0.5) * stepPx - label.length * 3.5;
      return circle(x - 10, 47, 5, color) + text(x, 51, label);
    })
    .join('\n');
}

/** A colour between dark and bright viridis, and one to write on it. @param share in [0, 1] */
export function heat(share: number): { fill: string; ink: string } {
  const stops = [
    [68, 1, 84],
    [59, 82, 139],
    [33, 145, 140],
    [94, 201, 98],
    [253, 231, 37],
  ] as const;
  const place = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const low = stops[Math.floor(place)]!;
  const high = stops[Math.ceil(place)]!;
  const mixed = low.map((value, c) => Math.round(value + (high[c]! - value) * (place % 1)));
  return { fill: `rgb(${mixed.join(',')})`, ink: share > 0.55 ? '#111' : '#fff' };
}

/** Round steps that cover [min, max]. */
export function ticksBetween(min: number, max: number): number[] {
  const rough = (max - min) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough)!;
  const first = Math.ceil(min / step - 1e-9);
  const last = Math.floor(max / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) =>
    Number(((first + i) * step).toPrecision(12)),
  );
}

function px(value: number): string {
  return value.toFixed(1);
}

function escapeText(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
