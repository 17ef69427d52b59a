/** The image with its heatmap: zoom and pan, hover and keyboard cursor, opacity, legend. */
import { scoreScale } from './colorMap';
import { element, freeId, keyEntry, setAttributes, setText, show, whenChanged } from './dom';
import { formatCount, formatScore, formatShare } from './format';
import { iconButton } from './icons';
import { createLegend } from './legend';
import { drawStage, scoreColor } from './overlay';
import { rankScores, type TokenFate } from './runFigures';
import { onThemeChange, readTheme } from './theme';
import {
  clampView,
  type CursorMove,
  fitView,
  layoutStage,
  locateToken,
  moveCursor,
  type Point,
  revealRect,
  type Size,
  type StageLayout,
  toStage,
  tokenAt,
  tokenRect,
  type View,
  zoomView,
} from './tokenLayout';
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

const cursorKeys: Record<string, CursorMove> = {
  ArrowLeft: 'left',
  ArrowRight: 'right',
  ArrowUp: 'up',
  ArrowDown: 'down',
  Home: 'rowStart',
  End: 'rowEnd',
};
const zoomStep = 1.5;
const nothingRead = 'Point at a token, or move with the arrow keys, to read it.';

export function createImageView(onOpacity: (opacity: number) => void) {
  const canvas = element('canvas', {});
  const stageNode = element(
    'div',
    { class: 'stage', tabindex: '0', role: 'application', 'aria-roledescription': 'token grid' },
    canvas,
  );
  const readout = element('div', { class: 'readout' });
  const swatch = element('span', { class: 'swatch' });
  const readoutText = element('span', {}, nothingRead);
  readout.append(swatch, readoutText);
  const spoken = element('div', { class: 'visually-hidden', 'aria-live': 'polite' });
  stageNode.setAttribute('aria-describedby', (readoutText.id = freeId('readout')));
  const caption = element('span', { class: 'caption' });
  const zoomLabel = element('span', { class: 'zoom-label' });
  const pictureNote = element('p', { class: 'note', hidden: true });
  const legend = createLegend();
  const compareKey = element('div', { class: 'compare-key', hidden: true });

  const eye = iconButton('eye', 'Show the overlay', () => {
    overlayVisible = !overlayVisible;
    eye.setAttribute('aria-pressed', String(overlayVisible));
    scheduleDraw();
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
    { class: 'toolbar', role: 'toolbar', 'aria-label': 'Image' },
    caption,
    element('label', { class: 'opacity' }, 'Heat', opacitySlider),
    eye,
    iconButton('zoomOut', 'Zoom out (−)', () => zoomAtCenter(1 / zoomStep)),
    zoomLabel,
    iconButton('zoomIn', 'Zoom in (+)', () => zoomAtCenter(zoomStep)),
    iconButton('fit', 'Fit (0), or 100 % when fitted (1)', () =>
      fitted ? showActualSize() : fit(),
    ),
  );
  const root = element(
    'section',
    { id: 'image', class: 'pane image-pane', 'aria-label': 'Image and visual tokens' },
    toolbar,
    stageNode,
    readout,
    legend.root,
    compareKey,
    pictureNote,
    spoken,
  );

  let input: ImageViewInput | null = null;
  let picture: HTMLImageElement | null = null;
  let pictureSource = '';
  let layout: StageLayout = layoutStage({ width: 4, height: 3 }, []);
  let laidOutFor: unknown = null;
  let ranks: number[] = [];
  let scale = scoreScale([]);
  let viewport: Size = { width: 0, height: 0 };
  let view: View = { scale: 1, x: 0, y: 0 };
  let fitted = true;
  let overlayVisible = true;
  let cursor: number | null = null;
  let hovered: number | null = null;
  let drawPending = false;

  function scheduleDraw(): void {
    if (drawPending) return;
    drawPending = true;
    requestAnimationFrame(() => {
      drawPending = false;
      draw();
    });
  }

  function draw(): void {
    const context = canvas.getContext('2d');
    if (!context || !input || viewport.width === 0) return;
    drawStage(context, viewport, devicePixelRatio, readTheme(), {
      layout,
      view,
      picture,
      scores: input.visual?.scores ?? [],
      scale,
      fates: input.fates,
      comparing: input.firstRun !== null,
      opacity: input.opacity,
      overlayVisible,
      cursor,
      cursorFocused: document.activeElement === stageNode,
      hovered,
    });
    setText(zoomLabel, formatShare(view.scale));
  }

  function setView(next: View, nowFitted: boolean): void {
    view = next;
    fitted = nowFitted;
    stageNode.classList.toggle('pannable', !fitted);
    scheduleDraw();
  }
  const fit = () => setView(fitView(viewport, layout), true);
  const center = (): Point => ({ x: viewport.width / 2, y: viewport.height / 2 });
  function zoomAt(anchor: Point, factor: number): void {
    const next = zoomView(view, anchor, factor, viewport, layout);
    const fitScale = fitView(viewport, layout).scale;
    setView(next, Math.abs(next.scale - fitScale) < fitScale * 1e-3);
  }
  function zoomAtCenter(factor: number): void {
    const place = cursor === null ? null : locateToken(layout, cursor);
    if (!place || document.activeElement !== stageNode) {
      zoomAt(center(), factor);
      return;
    }
    const rect = tokenRect(place.placed, place.row, place.column);
    const anchor = {
      x: view.x + (rect.x + rect.width / 2) * view.scale,
      y: view.y + (rect.y + rect.height / 2) * view.scale,
    };
    zoomAt(anchor, factor);
  }
  const showActualSize = () => zoomAt(center(), 1 / view.scale);

  function measure(): void {
    const width = stageNode.clientWidth;
    if (width === 0) return;
    const wanted = (width * layout.height) / layout.width;
    const height = Math.round(Math.min(Math.max(wanted, 160), innerHeight * 0.62));
    stageNode.style.height = `${height}px`;
    viewport = { width, height };
    canvas.width = Math.round(width * devicePixelRatio);
    canvas.height = Math.round(height * devicePixelRatio);
    if (fitted) fit();
    else setView(clampView(view, viewport, layout), false);
    draw();
  }
  new ResizeObserver(measure).observe(stageNode);
  addEventListener('resize', measure);
  onThemeChange(scheduleDraw);

  function describeToken(token: number): string {
    const place = locateToken(layout, token);
    const visual = input?.visual;
    if (!place || !input || !visual) return nothingRead;
    const region = place.placed.region;
    const where = `${regionName(layout, place.placed)}row ${place.row + 1} of ${region.rows}, column ${place.column + 1} of ${region.columns}`;
    const rank = `rank ${formatCount(ranks[token] ?? 0)} of ${formatCount(visual.total)}`;
    return `${where} · score ${formatScore(visual.scores[token] ?? NaN)} · ${rank} · ${fateName(input, token)}`;
  }
  function readToken(): void {
    const token = hovered ?? cursor;
    setText(readoutText, token === null ? nothingRead : describeToken(token));
    const score = token === null ? undefined : input?.visual?.scores[token];
    show(swatch, score !== undefined);
    if (score !== undefined) swatch.style.backgroundColor = scoreColor(scale, score);
  }

  const pointOf = (event: MouseEvent): Point => {
    const box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  let drag: { from: Point; view: View; moved: boolean } | null = null;
  stageNode.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    drag = { from: pointOf(event), view, moved: false };
    stageNode.setPointerCapture(event.pointerId);
  });
  stageNode.addEventListener('pointermove', (event) => {
    const point = pointOf(event);
    if (drag) {
      const x = point.x - drag.from.x;
      const y = point.y - drag.from.y;
      drag.moved ||= Math.hypot(x, y) > 3;
      if (drag.moved && !fitted) {
        const panned = { scale: view.scale, x: drag.view.x + x, y: drag.view.y + y };
        setView(clampView(panned, viewport, layout), false);
      }
    }
    const token = tokenAt(layout, toStage(view, point))?.token ?? null;
    if (token === hovered) return;
    hovered = token;
    readToken();
    scheduleDraw();
  });
  stageNode.addEventListener('pointerup', () => {
    if (drag && !drag.moved && hovered !== null) moveCursorTo(hovered, false);
    drag = null;
  });
  stageNode.addEventListener('pointercancel', () => (drag = null));
  stageNode.addEventListener('pointerleave', () => {
    hovered = null;
    readToken();
    scheduleDraw();
  });
  // A plain wheel scrolls the page until the image has the focus; with Ctrl (or a pinch) it zooms.
  stageNode.addEventListener(
    'wheel',
    (event) => {
      const asked = event.ctrlKey || event.metaKey || event.altKey;
      const focused = document.activeElement === stageNode && !(fitted && event.deltaY > 0);
      if (!asked && !focused) return;
      event.preventDefault();
      const pixels = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1);
      zoomAt(pointOf(event), Math.exp(-pixels * (event.ctrlKey ? 0.006 : 0.0025)));
    },
    { passive: false },
  );
  stageNode.addEventListener('focus', () => {
    if (cursor === null && layout.regions.length > 0)
      moveCursorTo(moveCursor(layout, null, 'first'));
    scheduleDraw();
  });
  stageNode.addEventListener('blur', scheduleDraw);
  stageNode.addEventListener('keydown', (event) => {
    if (event.altKey) return;
    const withControl = event.ctrlKey || event.metaKey;
    let move = cursorKeys[event.key];
    if (withControl)
      move = event.key === 'Home' ? 'first' : event.key === 'End' ? 'last' : undefined;
    if (move && layout.regions.length > 0) moveCursorTo(moveCursor(layout, cursor, move));
    else if (withControl) return;
    else if (event.key === '+' || event.key === '=') zoomAtCenter(zoomStep);
    else if (event.key === '-') zoomAtCenter(1 / zoomStep);
    else if (event.key === '0') fit();
    else if (event.key === '1') showActualSize();
    else return;
    event.preventDefault();
  });
  function moveCursorTo(token: number, speak = true): void {
    cursor = token;
    hovered = null;
    const place = locateToken(layout, token);
    if (place && !fitted) {
      const rect = tokenRect(place.placed, place.row, place.column);
      setView(revealRect(view, rect, viewport, layout), false);
    }
    readToken();
    if (speak) setText(spoken, describeToken(token));
    scheduleDraw();
  }

  function loadPicture(source: string): void {
    pictureSource = source;
    picture = null;
    show(pictureNote, false);
    const loading = new Image();
    loading.addEventListener('load', () => {
      if (pictureSource !== source) return;
      picture = loading;
      layOut();
    });
    loading.addEventListener('error', () => {
      if (pictureSource !== source) return;
      show(pictureNote, true);
      setText(
        pictureNote,
        'The panel cannot display this image format; the visual tokens are shown without it.',
      );
    });
    loading.src = source;
  }

  function layOut(): void {
    const size = input?.image ?? {
      width: picture?.naturalWidth || 4,
      height: picture?.naturalHeight || 3,
    };
    layout = layoutStage(size, input?.visual?.regions ?? []);
    if (cursor !== null && !locateToken(layout, cursor)) cursor = null;
    measure();
  }

  return {
    root,
    render: whenChanged((next: ImageViewInput) => {
      const isFirst = input === null;
      input = next;
      if (next.webviewSrc !== pictureSource) {
        loadPicture(next.webviewSrc);
        fitted = true;
        cursor = null;
      }
      if (isFirst || laidOutFor !== next.visual) {
        laidOutFor = next.visual;
        const scores = next.visual?.scores ?? [];
        ranks = rankScores(scores);
        scale = scoreScale(scores);
        layOut();
      }
      const comparing = next.firstRun !== null;
      setText(caption, captionText(next));
      if (document.activeElement !== opacitySlider) opacitySlider.value = String(next.opacity);
      show(legend.root, next.visual !== null && !comparing);
      if (next.visual) legend.render(next.visual.scores, scale, next.threshold, next.lever);
      show(compareKey, comparing);
      if (comparing) renderCompareKey(compareKey, next);
      setAttributes(stageNode, { 'aria-label': gridLabel(next, layout) });
      readToken();
      scheduleDraw();
    }),
  };
}

function captionText({ firstRun, secondRun, previewing }: ImageViewInput): string {
  if (firstRun !== null) return `#${firstRun} beside #${secondRun}`;
  return previewing ? 'Preview' : '';
}

function regionName(layout: StageLayout, placed: StageLayout['regions'][number]): string {
  const { kind } = placed.region;
  if (kind === 'image') return '';
  if (kind === 'thumbnail') return 'Thumbnail, ';
  const tiles = layout.regions.filter((other) => other.region.kind === 'tile');
  return `Tile ${tiles.indexOf(placed) + 1}, `;
}

function fateName({ fates, firstRun, secondRun }: ImageViewInput, token: number): string {
  switch (fates[token]) {
    case 'onlyFirst':
      return `kept by #${firstRun} only`;
    case 'onlySecond':
      return `kept by #${secondRun} only`;
    case 'both':
      return firstRun !== null ? 'kept by both' : 'kept';
    case 'neither':
    case undefined:
      return firstRun !== null ? 'pruned by both' : 'pruned';
    default:
      return '';
  }
}

function gridLabel({ name, visual }: ImageViewInput, layout: StageLayout): string {
  if (!visual) return `${name}. No visual tokens yet.`;
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
