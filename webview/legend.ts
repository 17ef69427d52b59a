/** The heatmap's legend: how many tokens have which score, the colours, the threshold. */
import { cssColor, positionOnScale, type ScoreScale, scoreHistogram, viridis } from './colorMap';
import { element, remember, setText, svgElement } from './dom';
import { formatScore } from './format';
import type { ScoreSource, VisualResult } from '../src/shared/types';

const binCount = 48;
const barsHeight = 26;
const rampHeight = 8;

const sourceNames: Record<ScoreSource, string> = {
  visionKeys: 'key-diversity score',
  mergedEmbeddings: 'diversity of merged embeddings (KeyDiff)',
};

export function createLegend() {
  const drawing = svgElement('svg', {
    class: 'legend-drawing',
    viewBox: `0 0 ${binCount} ${barsHeight + rampHeight}`,
    preserveAspectRatio: 'none',
    'aria-hidden': 'true',
  });
  const ramp = Array.from({ length: binCount }, (_, bin) => {
    const fill = cssColor(viridis((bin + 0.5) / binCount));
    return svgElement('rect', { x: bin, y: barsHeight, width: 1.05, height: rampHeight, fill });
  });
  const low = element('span');
  const middle = element('span', { class: 'legend-title' });
  const high = element('span');
  const line = element('div', { class: 'legend-threshold' });
  const plot = element('div', { class: 'legend-plot' });
  plot.append(drawing, line);
  const root = element(
    'div',
    { class: 'legend', title: 'How many tokens have which score (square-root scale)' },
    plot,
    element('div', { class: 'legend-scale' }, low, middle, high),
  );

  let bars: SVGRectElement[] = [];
  const drawBars = remember((scores: readonly number[], scale: ScoreScale) => {
    const counts = scoreHistogram(scores, scale, binCount);
    const most = Math.max(...counts, 1);
    bars = counts.map((count, bin) => {
      const height = count === 0 ? 0 : Math.max(Math.sqrt(count / most) * (barsHeight - 1), 1);
      const y = barsHeight - height;
      return svgElement('rect', { class: 'legend-bar', x: bin, y, width: 0.8, height });
    });
    drawing.replaceChildren(...ramp, ...bars);
  });

  return {
    root,
    /**
     * @param threshold tokens at or above it are kept
     * @param lever what set it, such as "τ 45°"
     */
    render(visual: VisualResult, scale: ScoreScale, threshold: number, lever: string): void {
      const { scores, scoreSource } = visual;
      const cut = positionOnScale(scale, threshold);
      drawBars(scores, scale);
      for (const [bin, bar] of bars.entries()) {
        bar.classList.toggle('pruned', (bin + 0.5) / binCount < cut);
      }
      line.style.left = `${cut * 100}%`;
      line.classList.toggle('at-end', cut > 0.7);
      line.dataset['label'] = `${lever} · ${formatScore(threshold)}`;
      setText(middle, sourceNames[scoreSource]);
      setText(low, formatScore(scale.low));
      setText(high, formatScore(scale.high));
      root.setAttribute('role', 'img');
      root.setAttribute(
        'aria-label',
        `Scores from ${formatScore(scale.low)} to ${formatScore(scale.high)}; ` +
          `tokens below ${formatScore(threshold)} are pruned.`,
      );
    },
  };
}
