import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import {
  downloadModel,
  type DownloadOptions,
  type DownloadProgress,
} from '../../../src/hub/downloadModel';
import { type DownloadPlan, planDownload } from '../../../src/hub/downloadPlan';
import { connectHub, isAccessDenied, readRepository } from '../../../src/hub/hubConnection';
import { AvisError } from '../../../src/shared/errors';
import { type HubFile, LoopbackHub, sendFile, sendJson } from './loopbackHub';

const repository = 'owner/tiny-vl';
const revision = '0123456789abcdef0123456789abcdef01234567';
const vision = 'onnx/vision_encoder_fp16.onnx';
const decoder = 'onnx/decoder_model_merged_q4.onnx';

function small(text: string): HubFile {
  return { bytes: Buffer.from(text), large: false };
}

function large(size: number, factor: number): HubFile {
  const bytes = Uint8Array.from({ length: size }, (_, index) => (index * factor) % 251);
  return { bytes: Buffer.from(bytes), large: true };
}

function checkpointFiles(): Map<string, HubFile> {
  return new Map([
    ['README.md', small('not needed')],
    ['config.json', small('{"model_type":"qwen2_vl"}')],
    ['tokenizer.json', small('{}')],
    ['special_tokens_map.json', small('')],
    [vision, large(300_000, 3)],
    ['onnx/embed_tokens_q4.onnx', large(20_000, 5)],
    [decoder, large(500_000, 7)],
    [`${decoder}_data`, large(100_000, 11)],
    ['onnx/decoder_model_merged.onnx', large(1_000, 13)],
  ]);
}

function denied(pattern: RegExp) {
  return (error: Error) => {
    assert.match(error.message, pattern);
    return isAccessDenied(error);
  };
}

describe('downloadModel', () => {
  let hub: LoopbackHub;
  let folder: string;
  let abort: AbortController;
  let waits: number[];
  let accessToken: string | undefined;

  beforeEach(async () => {
    hub = new LoopbackHub(repository, revision, checkpointFiles());
    await hub.start();
    folder = join(mkdtempSync(join(tmpdir(), 'avis-hub-')), 'owner--tiny-vl--q4');
    abort = new AbortController();
    waits = [];
    accessToken = undefined;
  });

  afterEach(() => hub.stop());

  const connect = () =>
    connectHub({
      hubUrl: hub.url,
      accessToken,
      signal: abort.signal,
      onWait: (waitMs) => waits.push(waitMs),
    });

  async function plan(id = repository): Promise<DownloadPlan> {
    const found = await readRepository(connect(), id);
    return planDownload(id, found.revision, found.files, 'q4');
  }

  async function download(options: Partial<DownloadOptions> = {}): Promise<void> {
    await downloadModel(await plan(), folder, {
      connection: connect(),
      signal: abort.signal,
      retryDelayMs: () => 1,
      ...options,
    });
  }

  function assertWhole(): void {
    for (const path of ['config.json', 'tokenizer.json', vision, decoder, `${decoder}_data`]) {
      const same = readFileSync(join(folder, path)).equals(hub.files.get(path)!.bytes);
      assert.ok(same, path);
    }
    assert.ok(!existsSync(`${folder}.partial`));
  }

  /** Cuts the connection after `bytes` bytes of a full-size or resumed answer, `times` times. */
  function cutAfter(path: string, bytes: number, times: number) {
    return (request: IncomingMessage, response: ServerResponse) => {
      if (request.url !== `/${path}` || request.headers.range === 'bytes=0-0' || times === 0) {
        return false;
      }
      times--;
      const whole = hub.files.get(path)!.bytes;
      const from = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
      response.writeHead(request.headers.range ? 206 : 200, {
        'Content-Length': whole.length - from,
      });
      response.write(whole.subarray(from, from + bytes), () => {
        setTimeout(() => request.socket.destroy(), 20);
      });
      return true;
    };
  }

  it('fetches the chosen variant through redirects, and says how far it is', async () => {
    const progress: DownloadProgress[] = [];
    await download({ onProgress: (one) => progress.push(one) });
    assertWhole();
    assert.ok(!existsSync(join(folder, 'README.md')));
    assert.ok(!existsSync(join(folder, 'onnx/decoder_model_merged.onnx')));
    assert.deepEqual(readFileSync(join(folder, 'special_tokens_map.json'), 'utf8'), '');
    const last = progress.at(-1)!;
    assert.equal(last.doneBytes, last.totalBytes);
    assert.ok(progress.every(({ doneBytes }, i) => doneBytes >= (progress[i - 1]?.doneBytes ?? 0)));
  });

  it('knows the licence and the commit', async () => {
    const found = await readRepository(connect(), repository);
    assert.equal(found.license, 'apache-2.0');
    assert.equal(found.revision, revision);
  });

  it('goes on where a cut connection ended', async () => {
    hub.faults.push(cutAfter(decoder, 200_000, 1));
    await download();
    assertWhole();
    const resumed = hub.requests.filter(
      ({ path, range }) => path === `/${decoder}` && range !== undefined && range !== 'bytes=0-0',
    );
    assert.deepEqual(
      resumed.map(({ range }) => range),
      ['bytes=200000-499999'],
    );
  });

  it('goes on where a canceled download ended, in another session', async () => {
    const onProgress = ({ path }: DownloadProgress) => path === decoder && abort.abort();
    await assert.rejects(
      download({ onProgress }),
      (error: unknown) => error instanceof AvisError && error.code === 'canceled',
    );
    assert.ok(!existsSync(folder), 'a half-finished download has no folder to load');
    assert.ok(existsSync(join(`${folder}.partial`, vision)));
    abort = new AbortController();
    hub.requests.length = 0;
    await download();
    assertWhole();
    assert.ok(
      hub.requests.every(({ path }) => !path.includes('vision_encoder')),
      'what was there is not fetched again',
    );
  });

  it('fetches a changed file again and keeps an unchanged one when the repository moved on', async () => {
    const onProgress = ({ path }: DownloadProgress) => path === decoder && abort.abort();
    await assert.rejects(download({ onProgress }));
    abort = new AbortController();
    hub.files.set('config.json', small('{"model_type":"newer"}'));
    hub.requests.length = 0;
    await download();
    assertWhole();
    assert.ok(hub.requests.every(({ path }) => !path.includes('vision_encoder')));
  });

  it('never takes a repository’s file for its own notes', async () => {
    const victim = join(dirname(folder), 'victim');
    writeFileSync(victim, '');
    const notes = { files: [{ path: '../victim', checksum: { kind: 'gitBlob', hex: '' } }] };
    hub.files.set('Avis-Download.json', small(JSON.stringify(notes)));
    hub.files.set('avis-download.json', small(JSON.stringify(notes)));
    const onProgress = ({ path }: DownloadProgress) => path === decoder && abort.abort();
    await assert.rejects(download({ onProgress }));
    abort = new AbortController();
    await download();
    assertWhole();
    assert.ok(existsSync(victim), 'a file outside the folder was removed');
    assert.ok(!existsSync(join(folder, 'Avis-Download.json')), 'it is the same file on some disks');
  });

  it('gives up after several breaks without a byte, and keeps what there is', async () => {
    hub.faults.push((request) => {
      if (request.url !== `/${decoder}`) return false;
      request.socket.destroy();
      return true;
    });
    await assert.rejects(download(), /can’t be reached.*http\.proxy.*try again/);
    assert.ok(existsSync(join(`${folder}.partial`, vision)));
  });

  it('takes a connection that falls silent as cut', async () => {
    let silent = true;
    hub.faults.push((request, response) => {
      if (request.url !== `/${vision}` || request.headers.range || !silent) return false;
      silent = false;
      response.writeHead(200, { 'Content-Length': 300_000 });
      response.write(hub.files.get(vision)!.bytes.subarray(0, 1000));
      return true;
    });
    await download({ stallMs: 100 });
    assertWhole();
  });

  it('waits as long as the hub asks for', async () => {
    let refusals = 2;
    hub.faults.push((_request, response) => {
      if (refusals-- <= 0) return false;
      response.setHeader('Retry-After', '0.02');
      sendJson(response, 429, { error: 'Too many requests' });
      return true;
    });
    await download();
    assertWhole();
    assert.deepEqual(waits, [20, 20]);
  });

  it('doesn’t wait for an hour', async () => {
    hub.faults.push((_request, response) => {
      response.setHeader('Retry-After', '3600');
      sendJson(response, 429, { error: 'Too many requests' });
      return true;
    });
    await assert.rejects(plan(), /refuses further requests.*later/);
    assert.deepEqual(waits, []);
  });

  it('sends the token to the hub, and not to where it redirects', async () => {
    hub.token = 'hf_secret';
    accessToken = 'hf_secret';
    await download();
    assertWhole();
    const leaked = hub.requests.filter(
      ({ path, token }) => path.startsWith('/onnx/') && token !== undefined,
    );
    assert.deepEqual(leaked, []);
  });

  it('says what a missing, an invalid and an unaccepted token need', async () => {
    hub.token = 'hf_secret';
    await assert.rejects(plan(), denied(/doesn’t exist.*or needs an access token.*Set Hugging/));
    accessToken = 'hf_wrong';
    await assert.rejects(plan(), denied(/doesn’t accept the access token/));
    hub.faults.push((_request, response) => {
      sendJson(response, 403, { error: 'Gated' });
      return true;
    });
    await assert.rejects(plan(), denied(/accept its conditions at http:\/\/127.*owner\/tiny-vl/));
  });

  it('names a model that doesn’t exist', async () => {
    await assert.rejects(plan('owner/none'), /There is no model owner\/none on 127\.0\.0\.1/);
  });

  it('fetches a file with a wrong checksum once more from the start', async () => {
    let wrong = 1;
    hub.faults.push((request, response) => {
      if (request.url !== `/${decoder}` || request.headers.range || wrong-- <= 0) return false;
      sendFile(request, response, Buffer.alloc(500_000));
      return true;
    });
    await download();
    assertWhole();
  });

  it('throws a file away whose checksum is wrong twice', async () => {
    hub.faults.push((request, response) => {
      if (request.url !== `/${decoder}` || request.headers.range) return false;
      sendFile(request, response, Buffer.alloc(500_000));
      return true;
    });
    await assert.rejects(download(), /decoder_model_merged_q4\.onnx.*twice.*wrong checksum/);
    assert.ok(!existsSync(folder));
    const left = readdirSync(join(`${folder}.partial`, 'onnx'));
    assert.ok(!left.some((name) => name.startsWith('decoder')), left.join());
  });

  it('asks for space before it starts', async () => {
    await assert.rejects(
      download({ freeBytes: () => Promise.resolve(1_000_000) }),
      /needs 0\.1 GB more.*has 0\.0 GB free.*smaller variant/,
    );
    assert.ok(hub.requests.every(({ path }) => !path.includes('resolve')));
  });

  if (existsSync('/dev/full')) {
    it('says so when the disk fills up on the way', async () => {
      const unfinished = join(`${folder}.partial`, `${decoder}.part`);
      const onProgress = ({ path }: DownloadProgress) => {
        if (path !== vision || existsSync(unfinished)) return;
        mkdirSync(dirname(unfinished), { recursive: true });
        symlinkSync('/dev/full', unfinished);
      };
      await assert.rejects(download({ onProgress }), /disk is full.*kept/);
      assert.ok(existsSync(join(`${folder}.partial`, vision)));
    });
  }
});
