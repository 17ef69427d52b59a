/** Draws the image, its heatmap and the mask; where things lie is tokenLayout.ts. */
import { cssColor, positionOnScale, type ScoreScale, viridis } from './colorMap';
import type { TokenFate } from './runFigures';
import type { Theme } from './theme';
import {
  locateToken,
  type PlacedRegion,
  type Rect,
  type StageLayout,
  tokenRect,
  toViewport,
  type View,
} from './tokenLayout';

/** What the stage shows, whatever the view. */
export interface OverlayContent {
  /** Null where the browser cannot show the picture. */
  picture: HTMLImageElement | null;
  scores: readonly number[];
  scale: ScoreScale;
  /** For each token, whether it is kept; or, when two runs are compared, which kept it. */
  fates: readonly TokenFate[];
  comparing: boolean;
  /** Of the heatmap, 0…1. */
  opacity: number;
  overlayVisible: boolean;
}

interface OverlayInput extends OverlayContent {
  layout: StageLayout;
  view: View;
  cursor: number | null;
  cursorFocused: boolean;
  hovered: number | null;
}

/** Both sizes in CSS pixels; the canvas holds `pixelRatio` times as many. */
export function drawStage(
  context: CanvasRenderingContext2D,
  size: { width: number; height: number },
  pixelRatio: number,
  theme: Theme,
  input: OverlayInput,
): void {
  const { layout, view, picture, overlayVisible } = input;
  context.setTransform(pixelRatio, 0, 0, pixelRatio, 0, 0);
  context.clearRect(0, 0, size.width, size.height);
  for (const frame of layout.thumbnail ? [layout.image, layout.thumbnail] : [layout.image]) {
    const rect = toViewport(view, frame);
    // Pixels stay pixels once one is larger than two of the screen's.
    context.imageSmoothingEnabled = view.scale * pixelRatio < 2;
    if (picture) context.drawImage(picture, rect.x, rect.y, rect.width, rect.height);
    else {
      context.strokeStyle = theme.border;
      context.strokeRect(rect.x + 0.5, rect.y + 0.5, rect.width - 1, rect.height - 1);
    }
  }
  if (layout.thumbnail) drawThumbnailLabel(context, layout.thumbnail, theme, view);
  if (overlayVisible) {
    for (const placed of layout.regions) {
      drawHeat(context, placed, input);
      drawMask(context, placed, theme, input);
    }
  }
  drawToken(context, input.hovered, theme, input, 1);
  drawToken(context, input.cursor, theme, input, input.cursorFocused ? 2 : 1);
}

function drawThumbnailLabel(
  context: CanvasRenderingContext2D,
  thumbnail: Rect,
  theme: Theme,
  view: View,
): void {
  const { x, y, width, height } = toViewport(view, thumbnail);
  context.font = `11px ${theme.fontFamily}`;
  context.fillStyle = theme.muted;
  // Below a thumbnail that stands beside the image, beside one that stands below it.
  if (thumbnail.x > 0) context.fillText('thumbnail', x, y + height + 13);
  else context.fillText('thumbnail', x + width + 6, y + height - 3);
}

/** One texel a token, stretched over the region: the cost doesn't grow with the zoom. */
function drawHeat(
  context: CanvasRenderingContext2D,
  placed: PlacedRegion,
  { view, scores, scale, fates, comparing, opacity }: OverlayInput,
): void {
  if (comparing || opacity === 0) return;
  const { rows, columns, firstToken } = placed.region;
  const texels = new OffscreenCanvas(columns, rows);
  const texelContext = texels.getContext('2d')!;
  const pixels = texelContext.createImageData(columns, rows);
  for (let offset = 0; offset < rows * columns; offset += 1) {
    const token = firstToken + offset;
    if (fates[token] !== 'both') continue;
    const color = viridis(positionOnScale(scale, scores[token] ?? scale.low));
    pixels.data.set([...color, Math.round(255 * opacity)], offset * 4);
  }
  texelContext.putImageData(pixels, 0, 0);
  const rect = toViewport(view, placed.rect);
  context.imageSmoothingEnabled = false;
  context.drawImage(texels, rect.x, rect.y, rect.width, rect.height);
}

/** Pruned tokens: a veil of the editor's background and a hatch. Compared runs: one hatch each. */
function drawMask(
  context: CanvasRenderingContext2D,
  placed: PlacedRegion,
  theme: Theme,
  input: OverlayInput,
): void {
  const { fates, comparing, view } = input;
  const paths = { neither: new Path2D(), onlyFirst: new Path2D(), onlySecond: new Path2D() };
  const edges = new Path2D();
  const { rows, columns, firstToken } = placed.region;
  const fateAt = (row: number, column: number) => fates[firstToken + row * columns + column];
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      const fate = fateAt(row, column);
      if (!fate) continue;
      const { x, y, width, height } = toViewport(view, tokenRect(placed, row, column));
      if (fate !== 'both') paths[fate].rect(x, y, width, height);
      if (column + 1 < columns && fateAt(row, column + 1) !== fate) {
        edges.moveTo(x + width, y);
        edges.lineTo(x + width, y + height);
      }
      if (row + 1 < rows && fateAt(row + 1, column) !== fate) {
        edges.moveTo(x, y + height);
        edges.lineTo(x + width, y + height);
      }
    }
  }
  context.globalAlpha = theme.highContrast ? 0.86 : 0.74;
  context.fillStyle = theme.background;
  context.fill(paths.neither);
  context.globalAlpha = 1;
  fillHatch(context, paths.neither, theme.foreground, theme.highContrast ? 0.8 : 0.28, 'rising');
  if (comparing) {
    for (const [path, color, direction] of [
      [paths.onlyFirst, theme.first, 'rising'],
      [paths.onlySecond, theme.second, 'falling'],
    ] as const) {
      context.globalAlpha = 0.45;
      context.fillStyle = color;
      context.fill(path);
      context.globalAlpha = 1;
      fillHatch(context, path, color, 1, direction);
    }
  }
  context.globalAlpha = theme.highContrast ? 1 : 0.55;
  context.strokeStyle = theme.foreground;
  context.lineWidth = 1;
  context.stroke(edges);
  context.globalAlpha = 1;
}

function fillHatch(
  context: CanvasRenderingContext2D,
  path: Path2D,
  color: string,
  alpha: number,
  direction: 'rising' | 'falling',
): void {
  const side = 8;
  const tile = new OffscreenCanvas(side, side);
  const tileContext = tile.getContext('2d')!;
  tileContext.strokeStyle = color;
  tileContext.lineWidth = 1;
  for (const shift of [-side, 0, side]) {
    tileContext.moveTo(shift, direction === 'rising' ? side : 0);
    tileContext.lineTo(shift + side, direction === 'rising' ? 0 : side);
  }
  tileContext.stroke();
  const pattern = context.createPattern(tile, 'repeat');
  if (!pattern) return;
  context.globalAlpha = alpha;
  context.fillStyle = pattern;
  context.fill(path);
  context.globalAlpha = 1;
}

/** A frame in two tones, so that it shows on any colour below it. */
function drawToken(
  context: CanvasRenderingContext2D,
  token: number | null,
  theme: Theme,
  { layout, view }: OverlayInput,
  lineWidthPx: number,
): void {
  const place = token === null ? null : locateToken(layout, token);
  if (!place) return;
  const { x, y, width, height } = toViewport(
    view,
    tokenRect(place.placed, place.row, place.column),
  );
  const outlines = [
    [theme.background, lineWidthPx + 2],
    [lineWidthPx > 1 ? theme.focus : theme.foreground, lineWidthPx],
  ] as const;
  for (const [color, lineWidth] of outlines) {
    context.strokeStyle = color;
    context.lineWidth = lineWidth;
    context.strokeRect(x, y, width, height);
  }
}

/** The colour of a score, as the legend and the readout show it. */
export function scoreColor(scale: ScoreScale, score: number): string {
  return cssColor(viridis(positionOnScale(scale, score)));
}
