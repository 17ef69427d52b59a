/** The image pane: toolbar, the stage with its heatmap, the readout, the legend. */
import { scoreScale } from './colorMap';
import { element, freeId, keyEntry, remember, setText, show, whenChanged } from './dom';
import { formatCount, formatScore, formatShare } from './format';
import { iconButton } from './icons';
import { createLegend } from './legend';
import { scoreColor } from './overlay';
import { rankScores, type TokenFate } from './runFigures';
import {
  layoutStage,
  locateToken,
  type PlacedRegion,
  type Size,
  type StageLayout,
} from './tokenLayout';
import { createTokenStage, zoomStep } from './tokenStage';
import type { VisualResult } from '../src/shared/types';

export interface ImageViewInput {
  webviewSrc: string;
  name: string;
  /** Null before the first run has told the scores. */
  image: Size | null;
  visual: VisualResult | null;
  /** Per token: 'both' = kept, 'neither' = pruned; the others only where two runs are compared. */
  fates: readonly TokenFate[];
  threshold: number;
  /** What set the threshold, such as "τ 45°". */
  lever: string;
  /** The runs that are compared; both or none. */
  firstRun: number | null;
  secondRun: number | null;
  /** The mask is what the levers would give, not what the run on show kept. */
  previewing: boolean;
  opacity: number;
}

const nothingRead = 'Point at a token, or move with the arrow keys, to read it.';
const noGrid = 'The visual tokens are shown after the first run.';

export function createImageView(onOpacity: (opacity: number) => void) {
  const zoomLabel = element('span', { class: 'zoom-label' });
  const swatch = element('span', { class: 'swatch' });
  const readoutText = element('span', { id: freeId('readout') });
  const spoken = element('div', { class: 'visually-hidden', 'aria-live': 'polite' });
  const stage = createTokenStage({
    read(token, byKey) {
      readToken(token);
      if (byKey && token !== null) setText(spoken, describeToken(token));
    },
    zoomed: (scale) => setText(zoomLabel, formatShare(scale)),
  });
  stage.root.setAttribute('aria-describedby', readoutText.id);
  const caption = element('span', { class: 'caption' });
  const pictureNote = element('p', { class: 'note', hidden: true });
  const legend = createLegend();
  const compareKey = element('div', { class: 'compare-key', hidden: true });
  const eye = iconButton('eye', 'Show the overlay', () => {
    overlayVisible = !overlayVisible;
    eye.setAttribute('aria-pressed', String(overlayVisible));
    fillStage();
  });
  eye.setAttribute('aria-pressed', 'true');
  const opacitySlider = element('input', {
    type: 'range',
    min: 0,
    max: 1,
    step: 0.01,
    'aria-label': 'Heatmap opacity',
    title: 'Heatmap opacity',
  });
  opacitySlider.addEventListener('input', () => onOpacity(opacitySlider.valueAsNumber));
  const toolbar = element(
    'div',
    { class: 'toolbar', role: 'group', 'aria-label': 'Image' },
    caption,
    element('label', { class: 'opacity' }, 'Heat', opacitySlider),
    eye,
    iconButton('zoomOut', 'Zoom out (−)', () => stage.zoomBy(1 / zoomStep)),
    zoomLabel,
    iconButton('zoomIn', 'Zoom in (+)', () => stage.zoomBy(zoomStep)),
    iconButton('fit', 'Fit (0) or 100 % (1)', () => stage.toggleFit()),
  );
  const root = element(
    'section',
    { id: 'image', class: 'pane', 'aria-label': 'Image and visual tokens' },
    toolbar,
    stage.root,
    element('div', { class: 'readout' }, swatch, readoutText),
    legend.root,
    compareKey,
    pictureNote,
    spoken,
  );

  let input: ImageViewInput | null = null;
  let picture: HTMLImageElement | null = null;
  let pictureSource = '';
  let layout: StageLayout = layoutStage({ width: 4, height: 3 }, []);
  let overlayVisible = true;
  const ranksOf = remember(rankScores);
  const scaleOf = remember(scoreScale);
  const noScores: readonly number[] = [];
  const shownScores = () => input?.visual?.scores ?? noScores;

  function fillStage(): void {
    if (!input) return;
    const { fates, firstRun, opacity } = input;
    const scores = shownScores();
    const scale = scaleOf(scores);
    const comparing = firstRun !== null;
    stage.setContent({ picture, scores, scale, fates, comparing, opacity, overlayVisible });
  }

  function describeToken(token: number): string {
    const place = locateToken(layout, token);
    const visual = input?.visual;
    if (!place || !input || !visual) return nothingRead;
    const { placed, row, column } = place;
    const { rows, columns } = placed.region;
    return [
      `${regionName(layout, placed)}row ${row + 1} of ${rows}, column ${column + 1} of ${columns}`,
      `score ${formatScore(visual.scores[token] ?? NaN)}`,
      `rank ${formatCount(ranksOf(visual.scores)[token] ?? 0)} of ${formatCount(visual.total)}`,
      fateName(input, token),
    ].join(' · ');
  }

  function readToken(token: number | null): void {
    const score = token === null ? undefined : shownScores()[token];
    const nothing = input?.visual ? nothingRead : noGrid;
    setText(readoutText, token === null ? nothing : describeToken(token));
    show(swatch, score !== undefined);
    if (score !== undefined)
      swatch.style.backgroundColor = scoreColor(scaleOf(shownScores()), score);
  }

  function loadPicture(source: string): void {
    pictureSource = source;
    picture = null;
    show(pictureNote, false);
    const loading = new Image();
    loading.addEventListener('load', () => {
      if (pictureSource !== source) return;
      picture = loading;
      layOut(true);
      fillStage();
    });
    loading.addEventListener('error', () => {
      if (pictureSource !== source) return;
      show(pictureNote, true);
      setText(
        pictureNote,
        'The panel cannot display this image; its visual tokens are shown without it.',
      );
    });
    loading.src = source;
  }

  function layOut(refit: boolean): void {
    const size = input?.image ?? {
      width: picture?.naturalWidth || 4,
      height: picture?.naturalHeight || 3,
    };
    layout = layoutStage(size, input?.visual?.regions ?? []);
    stage.setLayout(layout, refit);
  }

  return {
    root,
    render: whenChanged((next: ImageViewInput) => {
      const before = input;
      input = next;
      const otherPicture = next.webviewSrc !== pictureSource;
      if (otherPicture) loadPicture(next.webviewSrc);
      const sameGrid =
        JSON.stringify([before?.image, before?.visual?.regions]) ===
        JSON.stringify([next.image, next.visual?.regions]);
      if (otherPicture || !sameGrid) layOut(otherPicture);
      const comparing = next.firstRun !== null;
      setText(caption, captionText(next));
      if (document.activeElement !== opacitySlider) opacitySlider.value = String(next.opacity);
      opacitySlider.disabled = comparing;
      opacitySlider.style.setProperty('--share', `${next.opacity * 100}%`);
      show(legend.root, next.visual !== null && !comparing);
      if (next.visual)
        legend.render(next.visual, scaleOf(shownScores()), next.threshold, next.lever);
      show(compareKey, comparing);
      if (comparing) renderCompareKey(compareKey, next);
      stage.root.setAttribute('aria-label', gridLabel(next, layout));
      readToken(stage.readToken);
      fillStage();
    }),
  };
}

function captionText({ firstRun, secondRun, previewing }: ImageViewInput): string {
  if (firstRun !== null) return `#${firstRun} beside #${secondRun}`;
  return previewing ? 'Preview' : '';
}

function regionName(layout: StageLayout, placed: PlacedRegion): string {
  const { kind } = placed.region;
  if (kind === 'image') return '';
  if (kind === 'thumbnail') return 'Thumbnail, ';
  const tiles = layout.regions.filter((other) => other.region.kind === 'tile');
  return `Tile ${tiles.indexOf(placed) + 1}, `;
}

function fateName({ fates, firstRun, secondRun }: ImageViewInput, token: number): string {
  const comparing = firstRun !== null;
  const fate = fates[token] ?? 'neither';
  switch (fate) {
    case 'onlyFirst':
      return `kept by #${firstRun} only`;
    case 'onlySecond':
      return `kept by #${secondRun} only`;
    case 'both':
      return comparing ? 'kept by both' : 'kept';
    case 'neither':
      return comparing ? 'pruned by both' : 'pruned';
    default:
      return fate satisfies never;
  }
}

function gridLabel({ name, visual }: ImageViewInput, layout: StageLayout): string {
  if (!visual) return `${name}. ${noGrid}`;
  const grids = layout.regions.map(
    (placed) => `${regionName(layout, placed)}${placed.region.rows} by ${placed.region.columns}`,
  );
  return `${name}: visual tokens, ${grids.join('; ')}. Arrow keys read tokens, plus and minus zoom.`;
}

function renderCompareKey(node: HTMLElement, input: ImageViewInput): void {
  const { fates, firstRun, secondRun } = input;
  const count = (fate: TokenFate) => formatCount(fates.filter((other) => other === fate).length);
  node.replaceChildren(
    keyEntry('only-first', `only #${firstRun}: ${count('onlyFirst')}`),
    keyEntry('only-second', `only #${secondRun}: ${count('onlySecond')}`),
    keyEntry('kept', `both: ${count('both')}`),
    keyEntry('pruned', `neither: ${count('neither')}`),
  );
}
