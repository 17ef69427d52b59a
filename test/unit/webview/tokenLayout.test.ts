import assert from 'node:assert/strict';
import type { VisualRegion } from '../../../src/shared/types';
import {
  clampView,
  fitView,
  layoutStage,
  locateToken,
  maximumScale,
  moveCursor,
  revealRect,
  tokenAt,
  tokenRect,
  toStage,
  toViewport,
  zoomView,
} from '../../../webview/tokenLayout';

const whole = { left: 0, top: 0, width: 1, height: 1 };
const single: VisualRegion = { kind: 'image', rows: 3, columns: 5, firstToken: 0, ...whole };

/** Two tiles side by side, 2 × 2 tokens each, and a thumbnail of 2 × 2. */
const tiled: VisualRegion[] = [
  { ...whole, kind: 'tile', rows: 2, columns: 2, firstToken: 0, width: 0.5 },
  { ...whole, kind: 'tile', rows: 2, columns: 2, firstToken: 4, left: 0.5, width: 0.5 },
  { ...whole, kind: 'thumbnail', rows: 2, columns: 2, firstToken: 8 },
];

describe('stage layout', () => {
  it('lays a single region over the image', () => {
    const layout = layoutStage({ width: 500, height: 150 }, [single]);
    assert.equal(layout.width, 500);
    assert.equal(layout.height, 150);
    assert.equal(layout.thumbnail, null);
    const rect = tokenRect(layout.regions[0]!, 2, 4);
    assert.deepEqual(rect, { x: 400, y: 100, width: 100, height: 50 });
  });

  it('sets the thumbnail below a wide image and beside a tall one', () => {
    const wide = layoutStage({ width: 800, height: 400 }, tiled);
    assert.ok(wide.thumbnail!.y > 400 && wide.thumbnail!.x === 0);
    assert.equal(wide.width, 800);
    assert.equal(wide.height, wide.thumbnail!.y + wide.thumbnail!.height);
    const tall = layoutStage({ width: 400, height: 800 }, tiled);
    assert.ok(tall.thumbnail!.x > 400 && tall.thumbnail!.y === 0);
    assert.equal(tall.height, 800);
    assert.deepEqual(tall.regions[2]!.rect, tall.thumbnail);
  });

  it('finds every token under its own centre, thumbnail included', () => {
    for (const regions of [[single], tiled]) {
      const layout = layoutStage({ width: 640, height: 360 }, regions);
      const total = regions.reduce((sum, { rows, columns }) => sum + rows * columns, 0);
      for (let token = 0; token < total; token += 1) {
        const place = locateToken(layout, token)!;
        const { x, y, width, height } = tokenRect(place.placed, place.row, place.column);
        assert.equal(tokenAt(layout, { x: x + width / 2, y: y + height / 2 })?.token, token);
      }
      assert.equal(locateToken(layout, total), null);
    }
  });

  it('finds nothing beside the tokens', () => {
    const layout = layoutStage({ width: 640, height: 360 }, tiled);
    assert.equal(tokenAt(layout, { x: -1, y: 10 }), null);
    assert.equal(tokenAt(layout, { x: 10, y: 361 }), null); // the gap above the thumbnail
    assert.equal(tokenAt(layout, { x: 640, y: 10 }), null);
  });
});

describe('keyboard cursor', () => {
  const layout = layoutStage({ width: 500, height: 300 }, [single]);

  it('starts at the first token and stays inside the grid', () => {
    assert.equal(moveCursor(layout, null, 'right'), 0);
    assert.equal(moveCursor(layout, 0, 'left'), 0);
    assert.equal(moveCursor(layout, 0, 'up'), 0);
    assert.equal(moveCursor(layout, 0, 'right'), 1);
    assert.equal(moveCursor(layout, 1, 'down'), 6);
    assert.equal(moveCursor(layout, 14, 'right'), 14);
    assert.equal(moveCursor(layout, 14, 'down'), 14);
  });

  it('jumps to the ends of rows and of the grid', () => {
    assert.equal(moveCursor(layout, 7, 'rowStart'), 5);
    assert.equal(moveCursor(layout, 7, 'rowEnd'), 9);
    assert.equal(moveCursor(layout, 7, 'first'), 0);
    assert.equal(moveCursor(layout, 7, 'last'), 14);
  });

  it('crosses from tile to tile and on to the thumbnail', () => {
    const tiles = layoutStage({ width: 800, height: 400 }, tiled);
    assert.equal(moveCursor(tiles, 1, 'right'), 4);
    assert.equal(moveCursor(tiles, 6, 'left'), 3);
    // The thumbnail is 288 wide: below x = 100 is its left column, below 300 its right one.
    assert.equal(moveCursor(tiles, 2, 'down'), 8);
    assert.equal(moveCursor(tiles, 3, 'down'), 9);
    assert.equal(moveCursor(tiles, 8, 'up'), 2);
    assert.equal(moveCursor(tiles, 5, 'right'), 5);
  });

  it('has somewhere to be without regions', () => {
    assert.equal(moveCursor(layoutStage({ width: 4, height: 3 }, []), null, 'down'), 0);
  });
});

describe('view', () => {
  const viewport = { width: 400, height: 300 };
  const stage = { width: 1000, height: 500 };

  it('fits the whole stage, centred', () => {
    assert.deepEqual(fitView(viewport, stage), { scale: 0.4, x: 0, y: 50 });
  });

  it('keeps the point under the pointer where it is while zooming in', () => {
    const anchor = { x: 300, y: 120 };
    const before = fitView(viewport, stage);
    const after = zoomView(before, anchor, 3, viewport, stage);
    const from = toStage(before, anchor);
    const to = toStage(after, anchor);
    assert.ok(Math.abs(after.scale - 1.2) < 1e-12);
    assert.ok(Math.abs(from.x - to.x) < 1e-9 && Math.abs(from.y - to.y) < 1e-9);
  });

  it('zooms no further than fit and maximum', () => {
    const fit = fitView(viewport, stage);
    assert.deepEqual(zoomView(fit, { x: 9, y: 9 }, 0.01, viewport, stage), fit);
    const near = zoomView(fit, { x: 200, y: 150 }, 1e6, viewport, stage);
    assert.equal(near.scale, maximumScale(viewport, stage));
  });

  it('leaves no gap when panned, and stays centred where the stage is smaller', () => {
    const panned = clampView({ scale: 1, x: 900, y: -900 }, viewport, stage);
    assert.deepEqual(panned, { scale: 1, x: 0, y: -200 });
    const small = clampView({ scale: 0.1, x: 77, y: 77 }, viewport, stage);
    assert.deepEqual(small, { scale: 0.1, x: 150, y: 125 });
  });

  it('brings a token into sight', () => {
    const view = { scale: 2, x: 0, y: 0 };
    const rect = { x: 600, y: 400, width: 20, height: 20 };
    const shown = toViewport(revealRect(view, rect, viewport, stage), rect);
    assert.ok(shown.x >= 0 && shown.x + shown.width <= viewport.width);
    assert.ok(shown.y >= 0 && shown.y + shown.height <= viewport.height);
    const inSight = { x: 0, y: 0, width: 20, height: 20 };
    assert.deepEqual(revealRect(view, inSight, viewport, stage), view);
  });
});
