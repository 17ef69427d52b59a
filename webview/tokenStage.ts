/** The canvas of the image: view, pointer and keyboard. What it shows is given; what is read is told. */
import { element } from './dom';
import { drawStage, type OverlayContent } from './overlay';
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
  toViewport,
  type View,
  zoomView,
} from './tokenLayout';

export interface StageListener {
  /** Another token is under the pointer or the cursor; `byKey` where it should be spoken. */
  read(token: number | null, byKey: boolean): void;
  /** Screen pixels per image pixel. */
  zoomed(scale: number): void;
}

export const zoomStep = 1.5;

const cursorKeys: Record<string, CursorMove> = {
  ArrowLeft: 'left',
  ArrowRight: 'right',
  ArrowUp: 'up',
  ArrowDown: 'down',
  Home: 'rowStart',
  End: 'rowEnd',
};
const cursorKeysWithControl: Record<string, CursorMove> = { Home: 'first', End: 'last' };
const lowestHeightPx = 160;
const highestShareOfWindow = 0.46;

export function createTokenStage(listener: StageListener) {
  const canvas = element('canvas');
  const root = element(
    'div',
    { class: 'stage', tabindex: '0', role: 'application', 'aria-roledescription': 'token grid' },
    canvas,
  );
  let layout: StageLayout = layoutStage({ width: 4, height: 3 }, []);
  let content: OverlayContent | null = null;
  let viewport: Size = { width: 0, height: 0 };
  let view: View = { scale: 1, x: 0, y: 0 };
  let fitted = true;
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
    if (!context || !content || viewport.width === 0) return;
    drawStage(context, viewport, devicePixelRatio, readTheme(), {
      ...content,
      layout,
      view,
      cursor,
      cursorFocused: hasFocus(),
      hovered,
    });
  }

  const hasFocus = () => document.activeElement === root;

  function setView(next: View, nowFitted: boolean): void {
    view = next;
    fitted = nowFitted;
    root.classList.toggle('pannable', !fitted);
    listener.zoomed(view.scale);
    scheduleDraw();
  }

  function fit(): void {
    setView(fitView(viewport, layout), true);
  }

  function zoomAt(anchor: Point, factor: number): void {
    const next = zoomView(view, anchor, factor, viewport, layout);
    const fitScale = fitView(viewport, layout).scale;
    setView(next, Math.abs(next.scale - fitScale) < fitScale * 1e-3);
  }

  /** Zooms round the cursor while the keyboard is used, else round the middle. */
  function zoomBy(factor: number): void {
    const place = cursor !== null && hasFocus() ? locateToken(layout, cursor) : null;
    const around = place
      ? toViewport(view, tokenRect(place.placed, place.row, place.column))
      : { x: 0, y: 0, ...viewport };
    zoomAt({ x: around.x + around.width / 2, y: around.y + around.height / 2 }, factor);
  }

  function showActualSize(): void {
    zoomBy(1 / view.scale);
  }

  /** The stage is as high as its content at full width, within what the window allows. */
  function measure(): void {
    const width = root.clientWidth;
    if (width === 0) return;
    const wanted = (width * layout.height) / layout.width;
    const highest = Math.max(innerHeight * highestShareOfWindow, lowestHeightPx);
    const height = Math.round(Math.min(Math.max(wanted, lowestHeightPx), highest));
    root.style.height = `${height}px`;
    viewport = { width, height };
    canvas.width = Math.round(width * devicePixelRatio);
    canvas.height = Math.round(height * devicePixelRatio);
    if (fitted) fit();
    else setView(clampView(view, viewport, layout), false);
    draw(); // in the same frame: setting the canvas' size has cleared it
  }

  function moveCursorTo(token: number, byKey: boolean): void {
    cursor = token;
    hovered = null;
    const place = locateToken(layout, token);
    if (place && !fitted) {
      const rect = tokenRect(place.placed, place.row, place.column);
      setView(revealRect(view, rect, viewport, layout), false);
    }
    listener.read(token, byKey);
    scheduleDraw();
  }

  function hover(token: number | null): void {
    if (token === hovered) return;
    hovered = token;
    listener.read(hovered ?? cursor, false);
    scheduleDraw();
  }

  const pointOf = (event: MouseEvent): Point => {
    const box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  let drag: { from: Point; view: View; moved: boolean } | null = null;
  root.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    drag = { from: pointOf(event), view, moved: false };
    root.setPointerCapture(event.pointerId);
  });
  root.addEventListener('pointermove', (event) => {
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
    hover(tokenAt(layout, toStage(view, point))?.token ?? null);
  });
  root.addEventListener('pointerup', () => {
    if (drag && !drag.moved && hovered !== null) moveCursorTo(hovered, false);
    drag = null;
  });
  root.addEventListener('pointercancel', () => (drag = null));
  root.addEventListener('pointerleave', () => hover(null));
  // A plain wheel scrolls the page until the image has the focus; with Ctrl (or a pinch) it zooms.
  root.addEventListener(
    'wheel',
    (event) => {
      const asked = event.ctrlKey || event.metaKey || event.altKey;
      if (!asked && (!hasFocus() || (fitted && event.deltaY > 0))) return;
      event.preventDefault();
      const pixels = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1);
      zoomAt(pointOf(event), Math.exp(-pixels * (event.ctrlKey ? 0.006 : 0.0025)));
    },
    { passive: false },
  );
  root.addEventListener('focus', () => {
    const byKey = root.matches(':focus-visible');
    if (cursor === null && byKey && layout.regions.length > 0) {
      moveCursorTo(moveCursor(layout, null, 'first'), true);
    }
    scheduleDraw();
  });
  root.addEventListener('blur', scheduleDraw);
  root.addEventListener('keydown', (event) => {
    if (event.altKey) return;
    const withControl = event.ctrlKey || event.metaKey;
    const move = (withControl ? cursorKeysWithControl : cursorKeys)[event.key];
    if (move && layout.regions.length > 0) moveCursorTo(moveCursor(layout, cursor, move), true);
    else if (withControl) return;
    else if (event.key === '+' || event.key === '=') zoomBy(zoomStep);
    else if (event.key === '-') zoomBy(1 / zoomStep);
    else if (event.key === '0') fit();
    else if (event.key === '1') showActualSize();
    else return;
    event.preventDefault();
  });
  new ResizeObserver(measure).observe(root);
  addEventListener('resize', measure);
  onThemeChange(scheduleDraw);

  return {
    root,
    zoomBy,
    /** Between the whole stage and its actual size. */
    toggleFit(): void {
      if (fitted) showActualSize();
      else fit();
    },
    setContent(next: OverlayContent): void {
      content = next;
      scheduleDraw();
    },
    /** Another picture or grid; the view is kept unless `refit`. */
    setLayout(next: StageLayout, refit: boolean): void {
      layout = next;
      hovered = null;
      if (refit) fitted = true;
      if (refit || (cursor !== null && !locateToken(layout, cursor))) cursor = null;
      measure();
      listener.read(cursor, false);
    },
    get readToken(): number | null {
      return hovered ?? cursor;
    },
  };
}
