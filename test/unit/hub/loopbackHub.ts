/** A server on 127.0.0.1 that speaks as much of the hub's protocol as a download needs. */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface HubFile {
  bytes: Buffer;
  /** Large files come from another address by a redirect, as from the hub's content network. */
  large: boolean;
}

/** Takes a request over; true when it has answered. */
export type Fault = (request: IncomingMessage, response: ServerResponse) => boolean;

export class LoopbackHub {
  readonly requests: { path: string; range: string | undefined; token: string | undefined }[] = [];
  faults: Fault[] = [];
  token: string | undefined;
  url = '';
  /** Where the large files are; another origin. */
  contentUrl = '';
  private servers: Server[] = [];

  constructor(
    readonly repository: string,
    readonly revision: string,
    readonly files: Map<string, HubFile>,
  ) {}

  async start(): Promise<void> {
    [this.url, this.contentUrl] = await Promise.all([
      this.listen((request, response) => this.answerHub(request, response)),
      this.listen((request, response) => this.answerContent(request, response)),
    ]);
  }

  async stop(): Promise<void> {
    for (const server of this.servers) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  private async listen(
    answer: (request: IncomingMessage, response: ServerResponse) => void,
  ): Promise<string> {
    const server = createServer((request, response) => {
      this.requests.push({
        path: request.url!,
        range: request.headers.range,
        token: request.headers.authorization,
      });
      if (!this.faults.some((fault) => fault(request, response))) answer(request, response);
    });
    this.servers.push(server);
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  private answerHub(request: IncomingMessage, response: ServerResponse): void {
    const path = decodeURIComponent(request.url!.split('?')[0]!);
    if (this.token && request.headers.authorization !== `Bearer ${this.token}`) {
      sendJson(response, 401, { error: 'Invalid credentials' });
      return;
    }
    const model = `/api/models/${this.repository}`;
    if (path.startsWith(`${model}/revision/`)) {
      const tags = ['license:apache-2.0'];
      sendJson(response, 200, {
        _id: '1',
        id: this.repository,
        sha: this.revision,
        tags,
        lastModified: '2026-01-01T00:00:00.000Z',
      });
    } else if (path === `${model}/tree/${this.revision}`) {
      sendJson(response, 200, [...this.files].map(treeEntry));
    } else {
      const start = `/${this.repository}/resolve/${this.revision}/`;
      const file = path.startsWith(start) ? this.files.get(path.slice(start.length)) : undefined;
      if (!file) {
        response.setHeader('X-Error-Code', 'RepoNotFound');
        sendJson(response, 404, { error: 'Repository not found' });
      } else if (file.large) {
        response.writeHead(302, {
          Location: `${this.contentUrl}/${path.slice(start.length)}`,
          'X-Linked-ETag': `"${sha256(file.bytes)}"`,
          'X-Linked-Size': file.bytes.length,
        });
        response.end();
      } else sendFile(request, response, file.bytes);
    }
  }

  private answerContent(request: IncomingMessage, response: ServerResponse): void {
    const file = this.files.get(request.url!.slice(1));
    if (file) sendFile(request, response, file.bytes);
    else sendJson(response, 404, { error: 'Not found' });
  }
}

export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'Content-Type': 'application/json' });
  response.end(JSON.stringify(value));
}

export function sendFile(request: IncomingMessage, response: ServerResponse, bytes: Buffer): void {
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
  response.setHeader('ETag', `"${sha256(bytes)}"`);
  if (from === undefined) {
    response.writeHead(200, { 'Content-Length': bytes.length });
    response.end(bytes);
    return;
  }
  const part = bytes.subarray(Number(from), Number(to) + 1);
  response.writeHead(206, {
    'Content-Length': part.length,
    'Content-Range': `bytes ${from}-${Number(from) + part.length - 1}/${bytes.length}`,
  });
  response.end(part);
}

export function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function treeEntry([path, { bytes, large }]: [string, HubFile]) {
  const blob = createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');
  const lfs = { oid: sha256(bytes), size: bytes.length, pointerSize: 130 };
  return { type: 'file', path, size: bytes.length, oid: blob, ...(large ? { lfs } : {}) };
}
