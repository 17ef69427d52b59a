/**
 * Where visual tokens lie, in stage units: one unit is one pixel of the image, which lies at (0, 0);
 * a tiled model's thumbnail, which covers the whole image once more, is set apart beside it.
 */
import type { VisualRegion } from '../src/shared/types';

export interface Point {
  x: number;
  y: number;
}

export interface Size {
  width: number;
  height: number;
}

export interface Rect extends Point, Size {}

export interface PlacedRegion {
  region: VisualRegion;
  rect: Rect;
}

export interface StageLayout extends Size {
  image: Rect;
  /** A second, small copy of the image under the thumbnail's tokens; null where there is none. */
  thumbnail: Rect | null;
  regions: PlacedRegion[];
}

/** A visual token and where it is in its region, both counted from 0. */
export interface TokenPlace {
  token: number;
  row: number;
  column: number;
  placed: PlacedRegion;
}

const thumbnailScale = 0.36;
const thumbnailGap = 0.04;

/** Lays the image, its regions and the thumbnail out; the thumbnail goes where the image is short. */
export function layoutStage(image: Size, regions: readonly VisualRegion[]): StageLayout {
  const whole: Rect = { x: 0, y: 0, width: image.width, height: image.height };
  const hasThumbnail = regions.some((region) => region.kind === 'thumbnail');
  const gap = Math.max(image.width, image.height) * thumbnailGap;
  const below = image.width >= image.height;
  const thumbnail: Rect | null = hasThumbnail
    ? {
        x: below ? 0 : image.width + gap,
        y: below ? image.height + gap : 0,
        width: image.width * thumbnailScale,
        height: image.height * thumbnailScale,
      }
    : null;
  const place = (region: VisualRegion): PlacedRegion => {
    const frame = region.kind === 'thumbnail' && thumbnail ? thumbnail : whole;
    return {
      region,
      rect: {
        x: frame.x + region.left * frame.width,
        y: frame.y + region.top * frame.height,
        width: region.width * frame.width,
        height: region.height * frame.height,
      },
    };
  };
  return {
    image: whole,
    thumbnail,
    regions: regions.map(place),
    width: thumbnail ? Math.max(image.width, thumbnail.x + thumbnail.width) : image.width,
    height: thumbnail ? Math.max(image.height, thumbnail.y + thumbnail.height) : image.height,
  };
}

/** The rectangle of one token of a region, in stage units. */
export function tokenRect({ region, rect }: PlacedRegion, row: number, column: number): Rect {
  const width = rect.width / region.columns;
  const height = rect.height / region.rows;
  return { x: rect.x + column * width, y: rect.y + row * height, width, height };
}

/** The token under a point in stage units, or null beside the tokens. */
export function tokenAt(layout: StageLayout, point: Point): TokenPlace | null {
  for (const placed of layout.regions) {
    const { region, rect } = placed;
    const column = Math.floor(((point.x - rect.x) / rect.width) * region.columns);
    const row = Math.floor(((point.y - rect.y) / rect.height) * region.rows);
    if (row >= 0 && row < region.rows && column >= 0 && column < region.columns) {
      return placeOf(placed, row, column);
    }
  }
  return null;
}

/** Where a token lies, or null when no region holds it. */
export function locateToken(layout: StageLayout, token: number): TokenPlace | null {
  for (const placed of layout.regions) {
    const { region } = placed;
    const offset = token - region.firstToken;
    if (offset >= 0 && offset < region.rows * region.columns) {
      return placeOf(placed, Math.floor(offset / region.columns), offset % region.columns);
    }
  }
  return null;
}

export type CursorMove =
  'left' | 'right' | 'up' | 'down' | 'rowStart' | 'rowEnd' | 'first' | 'last';

/**
 * The token that a cursor key leads to: the neighbour in the region, across its edge the token of the
 * region that lies there, else the cursor stays. A cursor on no token goes to the first.
 */
export function moveCursor(layout: StageLayout, token: number | null, move: CursorMove): number {
  const here = token === null ? null : locateToken(layout, token);
  if (!here) return layout.regions[0]?.region.firstToken ?? 0;
  const { placed, row, column } = here;
  const { region } = placed;
  switch (move) {
    case 'rowStart':
      return placeOf(placed, row, 0).token;
    case 'rowEnd':
      return placeOf(placed, row, region.columns - 1).token;
    case 'first':
      return placeOf(placed, 0, 0).token;
    case 'last':
      return placeOf(placed, region.rows - 1, region.columns - 1).token;
    case 'left':
    case 'right':
    case 'up':
    case 'down': {
      const [stepX, stepY] = steps[move];
      const nextRow = row + stepY;
      const nextColumn = column + stepX;
      if (nextRow >= 0 && nextRow < region.rows && nextColumn >= 0 && nextColumn < region.columns) {
        return placeOf(placed, nextRow, nextColumn).token;
      }
      return tokenBeyondEdge(layout, here, stepX, stepY) ?? here.token;
    }
    default:
      return move satisfies never;
  }
}

const steps = { left: [-1, 0], right: [1, 0], up: [0, -1], down: [0, 1] } as const;

/** Of the regions that begin where `here`'s ends, in the step's direction, the nearest one's token. */
function tokenBeyondEdge(
  layout: StageLayout,
  here: TokenPlace,
  stepX: number,
  stepY: number,
): number | null {
  const from = tokenRect(here.placed, here.row, here.column);
  const center: Point = { x: from.x + from.width / 2, y: from.y + from.height / 2 };
  let nearest: { token: number; distance: number } | null = null;
  for (const placed of layout.regions) {
    const { rect, region } = placed;
    if (gapAhead(here.placed.rect, rect, stepX, stepY) < -0.5) continue;
    const point: Point = {
      x: clamp(center.x, rect.x, rect.x + rect.width),
      y: clamp(center.y, rect.y, rect.y + rect.height),
    };
    const distance = Math.hypot(point.x - center.x, point.y - center.y);
    if (nearest && nearest.distance <= distance) continue;
    const column = cell((point.x - rect.x) / rect.width, region.columns);
    const row = cell((point.y - rect.y) / rect.height, region.rows);
    nearest = { token: placeOf(placed, row, column).token, distance };
  }
  return nearest?.token ?? null;
}

/** How far `to` begins after `from` ends, along a unit step; negative where it begins before. */
function gapAhead(from: Rect, to: Rect, stepX: number, stepY: number): number {
  if (stepX > 0) return to.x - (from.x + from.width);
  if (stepX < 0) return from.x - (to.x + to.width);
  return stepY > 0 ? to.y - (from.y + from.height) : from.y - (to.y + to.height);
}

function placeOf(placed: PlacedRegion, row: number, column: number): TokenPlace {
  const token = placed.region.firstToken + row * placed.region.columns + column;
  return { token, row, column, placed };
}

function cell(fraction: number, count: number): number {
  return clamp(Math.floor(fraction * count), 0, count - 1);
}

/** How the stage is seen: CSS pixels per stage unit, and where stage (0, 0) is in the viewport. */
export interface View {
  scale: number;
  x: number;
  y: number;
}

/** The view that shows the whole stage, centred. */
export function fitView(viewport: Size, stage: Size): View {
  const scale = Math.min(viewport.width / stage.width, viewport.height / stage.height);
  return clampView({ scale: Math.max(scale, 1e-6), x: 0, y: 0 }, viewport, stage);
}

/** The stage's widest useful zoom: 16 times its fit, at least 4 CSS pixels per image pixel. */
export function maximumScale(viewport: Size, stage: Size): number {
  return Math.max(fitView(viewport, stage).scale * 16, 4);
}

/** Changes the scale by `factor` round a point of the viewport, between fit and the maximum. */
export function zoomView(
  view: View,
  anchor: Point,
  factor: number,
  viewport: Size,
  stage: Size,
): View {
  const fit = fitView(viewport, stage).scale;
  const lowest = Math.min(fit, 1);
  const scale = clamp(view.scale * factor, lowest, maximumScale(viewport, stage));
  const ratio = scale / view.scale;
  return clampView(
    {
      scale,
      x: anchor.x - (anchor.x - view.x) * ratio,
      y: anchor.y - (anchor.y - view.y) * ratio,
    },
    viewport,
    stage,
  );
}

/** Keeps the stage in sight: centred along an axis where it is smaller, without a gap where larger. */
export function clampView(view: View, viewport: Size, stage: Size): View {
  const axis = (offset: number, viewportLength: number, stageLength: number) => {
    const length = stageLength * view.scale;
    return length <= viewportLength
      ? (viewportLength - length) / 2
      : clamp(offset, viewportLength - length, 0);
  };
  return {
    scale: view.scale,
    x: axis(view.x, viewport.width, stage.width),
    y: axis(view.y, viewport.height, stage.height),
  };
}

/** Pans as little as needed to bring a stage rectangle into the viewport. */
export function revealRect(view: View, rect: Rect, viewport: Size, stage: Size): View {
  const axis = (offset: number, start: number, length: number, viewportLength: number) => {
    const from = offset + start * view.scale;
    const to = from + length * view.scale;
    if (from < 0) return offset - from;
    if (to > viewportLength) return offset - (to - viewportLength);
    return offset;
  };
  return clampView(
    {
      scale: view.scale,
      x: axis(view.x, rect.x, rect.width, viewport.width),
      y: axis(view.y, rect.y, rect.height, viewport.height),
    },
    viewport,
    stage,
  );
}

export function toStage(view: View, point: Point): Point {
  return { x: (point.x - view.x) / view.scale, y: (point.y - view.y) / view.scale };
}

export function toViewport(view: View, rect: Rect): Rect {
  return {
    x: view.x + rect.x * view.scale,
    y: view.y + rect.y * view.scale,
    width: rect.width * view.scale,
    height: rect.height * view.scale,
  };
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}
