/** The heatmap's legend: how many tokens have which score, the colours, the threshold. */
import { cssColor, positionOnScale, type ScoreScale, scoreHistogram, viridis } from './colorMap';
import { element, setText, svgElement } from './dom';
import { formatScore } from './format';
import type { ScoreSource, VisualResult } from '../src/shared/types';

const bins = 48;
const barsHeight = 26;
const rampHeight = 8;

const sourceNames: Record<ScoreSource, string> = {
  visionKeys: 'key-diversity score',
  mergedEmbeddings: 'diversity of merged embeddings (KeyDiff)',
};

export function createLegend() {
  const drawing = svgElement('svg', {
    class: 'legend-drawing',
    viewBox: `0 0 ${bins} ${barsHeight + rampHeight}`,
    preserveAspectRatio: 'none',
    'aria-hidden': 'true',
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

  return {
    root,
    /**
     * @param threshold tokens at or above it are kept
     * @param lever what set it, such as "τ 45°"
     */
    render(visual: VisualResult, scale: ScoreScale, threshold: number, lever: string): void {
      const { scores, scoreSource } = visual;
      const counts = scoreHistogram(scores, scale, bins);
      const most = Math.max(...counts, 1);
      const cut = positionOnScale(scale, threshold);
      drawing.replaceChildren();
      for (const [bin, count] of counts.entries()) {
        const center = (bin + 0.5) / bins;
        const height = count === 0 ? 0 : Math.max(Math.sqrt(count / most) * (barsHeight - 1), 1);
        const fill = cssColor(viridis(center));
        const pruned = center < cut;
        drawing.append(
          svgElement('rect', {
            class: pruned ? 'legend-bar pruned' : 'legend-bar',
            x: bin,
            y: barsHeight - height,
            width: 0.8,
            height,
          }),
          svgElement('rect', { x: bin, y: barsHeight, width: 1.05, height: rampHeight, fill }),
        );
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
