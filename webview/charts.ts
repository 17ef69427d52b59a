/** The three charts. Colours come from the theme and follow it; nothing moves under reduced motion. */
import {
  BarController,
  BarElement,
  CategoryScale,
  Chart,
  type ChartConfiguration,
  LinearScale,
  PointElement,
  ScatterController,
  Tooltip,
} from 'chart.js';
import { element } from './dom';
import { formatFlops } from './format';
import { onThemeChange, readTheme, type Theme } from './theme';
import type { VoteBar } from './votes';
import type { StageFlops } from '../src/shared/types';

Chart.register(
  BarController,
  BarElement,
  CategoryScale,
  LinearScale,
  PointElement,
  ScatterController,
  Tooltip,
);

/** A chart in a box of its own, drawn again from the same input when the theme changes. */
function createChart<Input>(
  label: string,
  configure: (input: Input, theme: Theme) => ChartConfiguration,
  heightPx: (input: Input) => number,
) {
  const canvas = element('canvas', { role: 'img', 'aria-label': label });
  const root = element('div', { class: 'chart' }, canvas);
  let chart: Chart | null = null;
  let last: Input | null = null;

  const draw = (input: Input) => {
    const theme = readTheme();
    const configuration = configure(input, theme);
    root.style.height = `${heightPx(input)}px`;
    if (chart) {
      chart.data = configuration.data;
      chart.options = configuration.options ?? {};
      chart.update('none');
      return;
    }
    chart = new Chart(canvas, configuration);
  };
  onThemeChange(() => {
    if (last !== null) draw(last);
  });
  return {
    root,
    /** @param description the same figures in words */
    render(input: Input, description: string): void {
      last = input;
      canvas.setAttribute('aria-label', description);
      draw(input);
    },
  };
}

const font = (theme: Theme) => ({ family: theme.fontFamily, size: 11 });
const tooltip = (theme: Theme) => ({
  animation: false as const,
  backgroundColor: theme.background,
  borderColor: theme.border,
  borderWidth: 1,
  titleColor: theme.foreground,
  bodyColor: theme.foreground,
  titleFont: font(theme),
  bodyFont: font(theme),
  cornerRadius: 2,
  padding: 6,
  boxPadding: 4,
});

export function createVoteChart() {
  return createChart<VoteBar[]>(
    'Votes',
    (bars, theme) => ({
      type: 'bar',
      data: {
        labels: bars.map(({ label }) => (label.length > 22 ? `${label.slice(0, 21)}…` : label)),
        datasets: [
          {
            data: bars.map(({ votes }) => votes),
            backgroundColor: bars.map(({ kind }) =>
              kind === 'majority'
                ? theme.accent
                : kind === 'other'
                  ? theme.fill
                  : hatch(theme.muted),
            ),
            borderColor: theme.muted,
            borderWidth: bars.map(({ kind }) => (theme.highContrast || kind === 'none' ? 1 : 0)),
            barThickness: 12,
          },
        ],
      },
      options: {
        indexAxis: 'y',
        animation: false,
        maintainAspectRatio: false,
        plugins: { tooltip: { ...tooltip(theme), displayColors: false } },
        scales: {
          x: {
            beginAtZero: true,
            ticks: { precision: 0, color: theme.muted, font: font(theme), maxTicksLimit: 8 },
            grid: { color: theme.grid, drawTicks: false },
            border: { display: false },
          },
          y: {
            ticks: { color: theme.foreground, font: font(theme), autoSkip: false },
            grid: { display: false },
            border: { color: theme.border },
          },
        },
      },
    }),
    (bars) => 24 + bars.length * 20,
  );
}

export interface ComputeBar {
  label: string;
  flops: StageFlops;
}

export function createComputeChart() {
  return createChart<ComputeBar[]>(
    'Compute by stage',
    (bars, theme) => {
      const stage = (label: string, name: keyof StageFlops, color: string | CanvasPattern) => ({
        label,
        data: bars.map(({ flops }) => flops[name]),
        backgroundColor: color,
        borderColor: name === 'vision' ? theme.muted : theme.foreground,
        borderWidth: theme.highContrast || name === 'vision' ? 1 : 0,
        barThickness: 16,
        stack: 'stages',
      });
      return {
        type: 'bar',
        data: {
          labels: bars.map(({ label }) => label),
          datasets: [
            stage('Prefill', 'prefill', theme.first),
            stage('Decode', 'decode', theme.second),
            stage('Vision (not counted)', 'vision', hatch(theme.muted)),
          ],
        },
        options: {
          indexAxis: 'y',
          animation: false,
          maintainAspectRatio: false,
          plugins: {
            tooltip: {
              ...tooltip(theme),
              callbacks: {
                label: (item) => ` ${item.dataset.label}: ${formatFlops(Number(item.raw))}`,
              },
            },
          },
          scales: {
            x: {
              stacked: true,
              beginAtZero: true,
              ticks: {
                color: theme.muted,
                font: font(theme),
                maxTicksLimit: 4,
                callback: (value) => formatFlops(Number(value)),
              },
              grid: { color: theme.grid, drawTicks: false },
              border: { display: false },
            },
            y: {
              stacked: true,
              ticks: { color: theme.foreground, font: font(theme), autoSkip: false },
              grid: { display: false },
              border: { color: theme.border },
            },
          },
        },
      };
    },
    (bars) => 26 + bars.length * 24,
  );
}

export interface RunPoint {
  id: number;
  /** Cost over vanilla's, as the paper counts. */
  cost: number;
  /** Share of the finished rollouts that vote for the majority answer. */
  agreement: number;
  mark: 'shown' | 'compared' | 'vanilla' | 'other';
}

export function createRunsChart(onSelect: (id: number) => void) {
  let drawn: { points: readonly RunPoint[]; theme: Theme } | null = null;
  const pointNames = {
    id: 'pointNames',
    afterDatasetsDraw: (chart: Chart) => drawn && namePoints(chart, drawn.points, drawn.theme),
  };
  return createChart<RunPoint[]>(
    'Cost against agreement',
    (points, theme) => {
      drawn = { points, theme };
      const color = (point: RunPoint) =>
        ({
          shown: theme.first,
          compared: theme.second,
          vanilla: theme.background,
          other: theme.fill,
        })[point.mark];
      return {
        type: 'scatter',
        plugins: [pointNames],
        data: {
          datasets: [
            {
              data: points.map(({ cost, agreement }) => ({ x: cost * 100, y: agreement * 100 })),
              pointBackgroundColor: points.map(color),
              pointBorderColor: theme.foreground,
              pointBorderWidth: 1,
              pointRadius: points.map(({ mark }) => (mark === 'shown' ? 6 : 4)),
              pointHoverRadius: 7,
              pointStyle: points.map(({ mark }) => (mark === 'vanilla' ? 'rect' : 'circle')),
              clip: 12,
            },
          ],
        },
        options: {
          animation: false,
          maintainAspectRatio: false,
          layout: { padding: { top: 14 } },
          onClick: (_event, hits) => {
            const point = points[hits[0]?.index ?? -1];
            if (point) onSelect(point.id);
          },
          plugins: {
            tooltip: {
              ...tooltip(theme),
              displayColors: false,
              callbacks: {
                label: ({ dataIndex, parsed }) =>
                  `#${points[dataIndex]?.id}: cost ${Math.round(parsed.x ?? 0)} %, agreement ${Math.round(parsed.y ?? 0)} %`,
              },
            },
          },
          scales: {
            x: {
              title: {
                display: true,
                text: 'cost, % of vanilla',
                color: theme.muted,
                font: font(theme),
              },
              beginAtZero: true,
              suggestedMax: 100,
              ticks: { color: theme.muted, font: font(theme), maxTicksLimit: 6 },
              grid: { color: theme.grid, drawTicks: false },
              border: { color: theme.border },
            },
            y: {
              title: { display: true, text: 'agreement, %', color: theme.muted, font: font(theme) },
              min: 0,
              max: 100,
              ticks: { color: theme.muted, font: font(theme), maxTicksLimit: 3 },
              grid: { color: theme.grid, drawTicks: false },
              border: { color: theme.border },
            },
          },
        },
      };
    },
    () => 144,
  );
}

/** Names the shown run above its point and the compared one below: the two may be one point. */
function namePoints(chart: Chart, points: readonly RunPoint[], theme: Theme): void {
  const { ctx } = chart;
  ctx.font = `11px ${theme.fontFamily}`;
  ctx.fillStyle = theme.foreground;
  ctx.textAlign = 'center';
  ctx.textBaseline = 'middle';
  for (const [index, { x, y }] of chart.getDatasetMeta(0).data.entries()) {
    const point = points[index];
    if (point?.mark !== 'shown' && point?.mark !== 'compared') continue;
    ctx.fillText(`#${point.id}`, x, y + (point.mark === 'shown' ? -13 : 13));
  }
}

function hatch(color: string): CanvasPattern | string {
  const tile = new OffscreenCanvas(6, 6);
  const context = tile.getContext('2d')!;
  context.strokeStyle = color;
  context.lineWidth = 1;
  for (const shift of [-6, 0, 6]) {
    context.moveTo(shift, 6);
    context.lineTo(shift + 6, 0);
  }
  context.stroke();
  return context.createPattern(tile, 'repeat') ?? color;
}
