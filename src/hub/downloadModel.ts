/**
 * Downloads a checkpoint into FOLDER.partial, file by file, and renames it to FOLDER at the end: a
 * folder of that name is always whole. What a broken download left behind is continued.
 */
import { downloadFile } from '@huggingface/hub';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readFile, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { AvisError } from '../shared/errors';
import { type DownloadPlan, planFile, type RepositoryFile } from './downloadPlan';
import { explainHubError, type HubConnection } from './hubConnection';
import { TransferSpeed } from './transferSpeed';

export interface DownloadProgress {
  /** The file under way. */
  path: string;
  doneBytes: number;
  totalBytes: number;
  bytesPerSecond: number;
  /** Undefined while the speed is not known. */
  secondsLeft: number | undefined;
}

export interface DownloadOptions {
  connection: HubConnection;
  signal: AbortSignal;
  onProgress?: (progress: DownloadProgress) => void;
  /** Bytes that can still be written to the disk of a folder. */
  freeBytes?: (folder: string) => Promise<number>;
  /** Milliseconds before another attempt after the n-th break. */
  retryDelayMs?: (attempt: number) => number;
  /** A connection that sends nothing for so long is taken as broken. */
  stallMs?: number;
}

/** Breaks in a row, without a byte in between, after which the download is given up. */
const maxBreaks = 5;
const progressIntervalMs = 250;
const spareBytes = 64 * 1024 * 1024;
const unfinishedSuffix = '.part';

/**
 * @param folder absolute; must not exist yet
 * @throws {AvisError} 'canceled', or 'badInput' with what to do. What was downloaded is kept.
 */
export async function downloadModel(
  plan: DownloadPlan,
  folder: string,
  options: DownloadOptions,
): Promise<void> {
  const partial = `${folder}.partial`;
  await mkdir(partial, { recursive: true });
  await adoptPlan(partial, plan);
  const download = new Download(plan, partial, options);
  try {
    await download.checkSpace();
    for (const file of plan.files) await download.fetchFile(file);
  } catch (error) {
    throw options.signal.aborted
      ? new AvisError('canceled', 'The download was canceled; what was downloaded is kept.')
      : error;
  }
  await rename(partial, folder);
}

/** Keeps of a broken download what is the same in the wanted plan, and notes that plan for the next. */
async function adoptPlan(partial: string, wanted: DownloadPlan): Promise<void> {
  const path = join(partial, planFile);
  const earlier = await readFile(path, 'utf8')
    .then((text) => JSON.parse(text) as DownloadPlan)
    .catch(() => undefined);
  const same = new Set(wanted.files.map(identity));
  if (earlier) {
    for (const file of earlier.files) {
      if (same.has(identity(file))) continue;
      await rm(join(partial, file.path), { force: true });
      await rm(join(partial, `${file.path}${unfinishedSuffix}`), { force: true });
    }
  } else {
    await rm(partial, { recursive: true });
  }
  await mkdir(partial, { recursive: true });
  await writeFile(path, JSON.stringify(wanted, null, 2));
}

function identity({ path, checksum }: RepositoryFile): string {
  return `${path} ${checksum.hex}`;
}

class Download {
  private readonly speed = new TransferSpeed();
  private doneBytes = 0;
  private reportedAt = 0;

  constructor(
    private readonly plan: DownloadPlan,
    private readonly partial: string,
    private readonly options: DownloadOptions,
  ) {}

  /** @throws {AvisError} when what is still missing doesn't fit. */
  async checkSpace(): Promise<void> {
    let presentBytes = 0;
    for (const { path } of this.plan.files) {
      presentBytes +=
        (await sizeOf(this.target(path))) ?? (await sizeOf(this.unfinished(path))) ?? 0;
    }
    const neededBytes = this.plan.totalBytes - presentBytes + spareBytes;
    const { freeBytes = freeBytesOf } = this.options;
    const availableBytes = await freeBytes(this.partial);
    if (availableBytes >= neededBytes) return;
    throw new AvisError(
      'badInput',
      `${this.plan.repository} needs ${gigabytes(neededBytes)} more, and ${dirname(this.partial)} has ${gigabytes(availableBytes)} free: free some space, or choose a smaller variant.`,
    );
  }

  async fetchFile(file: RepositoryFile): Promise<void> {
    const target = this.target(file.path);
    if ((await sizeOf(target)) === file.sizeBytes) {
      this.advance(file.path, file.sizeBytes);
      return;
    }
    await mkdir(dirname(target), { recursive: true });
    const unfinished = this.unfinished(file.path);
    for (let attempt = 1; ; attempt++) {
      const before = this.doneBytes;
      await this.fetchBytes(file, unfinished);
      if (await matches(unfinished, file)) break;
      // A resumed file may go back to a server that ignores ranges: once more from the start.
      await rm(unfinished, { force: true });
      this.doneBytes = before;
      if (attempt === 2) throw this.wrongChecksum(file);
    }
    await rename(unfinished, target);
    this.report(file.path, true);
  }

  /** Appends to `unfinished` until it has the file's size, resuming after breaks. */
  private async fetchBytes(file: RepositoryFile, unfinished: string): Promise<void> {
    const { signal, retryDelayMs = (attempt) => 1000 * 2 ** attempt } = this.options;
    let breaks = 0;
    let present = (await sizeOf(unfinished)) ?? 0;
    if (present === 0 || present > file.sizeBytes) {
      await writeFile(unfinished, '');
      present = 0;
    }
    this.advance(file.path, present);
    while (present < file.sizeBytes) {
      signal.throwIfAborted();
      let received = 0;
      let failure: unknown = new Error('the connection was cut');
      try {
        received = await this.append(file, unfinished, present);
      } catch (error) {
        failure = error;
        received = ((await sizeOf(unfinished)) ?? 0) - present;
      }
      present += received;
      if (present >= file.sizeBytes) return;
      if (signal.aborted || !isBreak(failure)) throw this.explain(failure, file);
      breaks = received > 0 ? 1 : breaks + 1;
      if (breaks > maxBreaks) throw this.explain(failure, file);
      await delay(retryDelayMs(breaks - 1), undefined, { signal });
    }
  }

  /** @returns the bytes appended; fewer than missing when the connection was cut. */
  private async append(file: RepositoryFile, unfinished: string, from: number): Promise<number> {
    const { connection, stallMs = 60_000 } = this.options;
    const { hubUrl, accessToken, fetch } = connection;
    const blob = await downloadFile({
      repo: this.plan.repository,
      revision: this.plan.revision,
      path: file.path,
      hubUrl,
      fetch,
      xet: false,
      ...(accessToken ? { accessToken } : {}),
    });
    if (!blob) {
      throw new AvisError(
        'badInput',
        `${this.plan.repository} no longer has ${file.path}: get the model again.`,
      );
    }
    const reader = blob.slice(from, file.sizeBytes).stream().getReader();
    const output = await open(unfinished, 'a');
    let received = 0;
    try {
      for (;;) {
        const { done, value } = await withinTime(reader.read(), stallMs);
        if (done) return received;
        const chunk = value.subarray(0, file.sizeBytes - from - received);
        await writeAll(output, chunk);
        received += chunk.length;
        this.advance(file.path, chunk.length);
      }
    } finally {
      await output.close();
      await reader.cancel().catch(() => {});
    }
  }

  private advance(path: string, bytes: number): void {
    this.doneBytes += bytes;
    this.speed.add(this.doneBytes);
    this.report(path, false);
  }

  private report(path: string, now: boolean): void {
    const time = performance.now();
    if (!now && time - this.reportedAt < progressIntervalMs) return;
    this.reportedAt = time;
    const { totalBytes } = this.plan;
    const { bytesPerSecond } = this.speed;
    const secondsLeft =
      bytesPerSecond > 0 ? (totalBytes - this.doneBytes) / bytesPerSecond : undefined;
    this.options.onProgress?.({
      path,
      doneBytes: this.doneBytes,
      totalBytes,
      bytesPerSecond,
      secondsLeft,
    });
  }

  private explain(error: unknown, { path }: RepositoryFile): AvisError {
    if ((error as NodeJS.ErrnoException | null)?.code === 'ENOSPC') {
      return new AvisError(
        'badInput',
        `The disk is full: ${path} can’t be written to ${this.partial}. Free some space and get the model again; what was downloaded is kept.`,
        { cause: error },
      );
    }
    return explainHubError(error, this.plan.repository, this.options.connection);
  }

  private wrongChecksum({ path }: RepositoryFile): AvisError {
    return new AvisError(
      'badInput',
      `${path} of ${this.plan.repository} came twice with a wrong checksum and was thrown away. Check avis.hub.endpoint and any proxy in between, then get the model again.`,
    );
  }

  private target(path: string): string {
    return join(this.partial, path);
  }

  private unfinished(path: string): string {
    return `${this.target(path)}${unfinishedSuffix}`;
  }
}

/** Whether another attempt may help: everything but an answer of the hub and an error of the disk. */
function isBreak(error: unknown): boolean {
  if (error instanceof AvisError) return false;
  if (typeof (error as NodeJS.ErrnoException | null)?.errno === 'number') return false;
  const status = (error as { statusCode?: number } | null)?.statusCode;
  return status === undefined || status >= 500;
}

async function matches(path: string, { checksum, sizeBytes }: RepositoryFile): Promise<boolean> {
  const hash = createHash(checksum.kind === 'sha256' ? 'sha256' : 'sha1');
  if (checksum.kind === 'gitBlob') hash.update(`blob ${sizeBytes}\0`);
  if (sizeBytes > 0) for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex') === checksum.hex;
}

async function writeAll(file: Awaited<ReturnType<typeof open>>, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    written += (await file.write(bytes, written)).bytesWritten;
  }
}

/** Undefined when there is no such file. */
async function sizeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    ({ size }) => size,
    () => undefined,
  );
}

async function freeBytesOf(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

function withinTime<T>(promise: Promise<T>, limitMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('nothing was received for a while')), limitMs);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
