import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { throwIfAborted } from './abort';

type Remembered = Record<string, { bytes: number; modifiedMs: number; sha256: string }>;

/**
 * SHA-256 (hex) of files by their path relative to `folder`. Hashes of files whose size and time are
 * unchanged come from a list in the cache folder: a large checkpoint is read once.
 */
export async function hashFiles(
  folder: string,
  files: readonly string[],
  cacheFolder: string,
  signal?: AbortSignal,
): Promise<Record<string, string>> {
  const listPath = join(cacheFolder, 'fileHashes.json');
  const remembered = await readList(listPath);
  const hashes: Record<string, string> = {};
  let changed = false;
  for (const file of files) {
    throwIfAborted(signal);
    const path = join(folder, file);
    const { size: bytes, mtimeMs: modifiedMs } = await stat(path);
    const known = remembered[path];
    if (known?.bytes === bytes && known.modifiedMs === modifiedMs) {
      hashes[file] = known.sha256;
      continue;
    }
    const hash = createHash('sha256');
    await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash, { signal });
    hashes[file] = hash.digest('hex');
    remembered[path] = { bytes, modifiedMs, sha256: hashes[file] };
    changed = true;
  }
  if (changed) {
    // Only a list of what can be computed again: a full disk must not stop a model from loading.
    await mkdir(cacheFolder, { recursive: true })
      .then(() => writeFile(listPath, JSON.stringify(remembered)))
      .catch(() => {});
  }
  return hashes;
}

async function readList(path: string): Promise<Remembered> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Remembered;
  } catch {
    return {};
  }
}
