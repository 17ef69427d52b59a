import { Tensor } from 'onnxruntime-node';
import type { PreparedImage } from './family';

/** Cuts a tiled image into images of at most `tilesPerRun` tiles: no tile sees another one. */
export function splitTiles(image: PreparedImage, tilesPerRun: number): PreparedImage[] {
  const [tiles, rows, columns] = image.gridThw;
  if (tiles <= tilesPerRun) return [image];
  const parts: PreparedImage[] = [];
  for (let from = 0; from < tiles; from += tilesPerRun) {
    const regions = image.regions.slice(from, from + tilesPerRun);
    const { firstToken } = regions[0]!;
    const feeds = Object.entries(image.feeds).map(([name, tensor]) => [
      name,
      sliceTiles(tensor, tiles, from, regions.length),
    ]);
    parts.push({
      ...image,
      feeds: Object.fromEntries(feeds) as PreparedImage['feeds'],
      gridThw: [regions.length, rows, columns],
      visualTokens: regions.reduce((sum, region) => sum + region.rows * region.columns, 0),
      regions: regions.map((region) => ({ ...region, firstToken: region.firstToken - firstToken })),
    });
  }
  return parts;
}

function sliceTiles(tensor: Tensor, tiles: number, from: number, count: number): Tensor {
  const dims = [...tensor.dims];
  dims[dims.indexOf(tiles)] = count;
  const data = tensor.data as Float32Array;
  const size = data.length / tiles;
  const slice = data.subarray(from * size, (from + count) * size);
  return new Tensor(tensor.type as 'float32', slice, dims);
}
