/** Talks to the hub through @huggingface/hub: waits when it is asked to, and explains what failed. */
import { HubApiError, listFiles, modelInfo } from '@huggingface/hub';
import { setTimeout as delay } from 'node:timers/promises';
import { AvisError } from '../shared/errors';
import type { RepositoryFile } from './downloadPlan';

export interface HubConnection {
  /** Without a slash at the end, e.g. https://huggingface.co, or a mirror. */
  hubUrl: string;
  accessToken: string | undefined;
  fetch: typeof fetch;
}

export interface Repository {
  id: string;
  /** The commit that `main` is at. */
  revision: string;
  license: string | undefined;
  files: RepositoryFile[];
}

const maxWaits = 5;
const maxWaitMs = 5 * 60_000;

/**
 * @param signal aborts every request
 * @param onWait told when the hub wants to be left alone for a while (429, 503)
 */
export function connectHub(options: {
  hubUrl: string;
  accessToken: string | undefined;
  signal: AbortSignal;
  onWait?: (waitMs: number) => void;
  fetch?: typeof fetch;
}): HubConnection {
  const { signal, onWait, accessToken } = options;
  // Looked up late: VS Code replaces the global fetch by one that knows its proxy settings.
  const send: typeof fetch = options.fetch ?? ((input, init) => fetch(input, init));
  const hubUrl = options.hubUrl.replace(/\/+$/, '');
  return {
    hubUrl,
    accessToken,
    fetch: async (input, init) => {
      for (let waits = 0; ; waits++) {
        const response = await send(input, { ...init, signal });
        if ((response.status !== 429 && response.status !== 503) || waits === maxWaits) {
          return response;
        }
        const waitMs = retryAfterMs(response.headers.get('Retry-After')) ?? 1000 * 2 ** waits;
        if (waitMs > maxWaitMs) return response;
        await response.body?.cancel();
        onWait?.(waitMs);
        await delay(waitMs, undefined, { signal });
      }
    },
  };
}

/** The repository's newest commit and the files in it. @throws {AvisError} with what to do. */
export async function readRepository(connection: HubConnection, id: string): Promise<Repository> {
  const { hubUrl, accessToken, fetch } = connection;
  const access = { hubUrl, fetch, ...(accessToken ? { accessToken } : {}) };
  try {
    const info = await modelInfo({
      name: id,
      additionalFields: ['sha', 'cardData', 'tags'],
      ...access,
    });
    const files: RepositoryFile[] = [];
    const entries = listFiles({ repo: id, revision: info.sha, recursive: true, ...access });
    for await (const { type, path, size, oid, lfs } of entries) {
      if (type !== 'file') continue;
      files.push({
        path,
        sizeBytes: lfs?.size ?? size,
        checksum: lfs ? { kind: 'sha256', hex: lfs.oid } : { kind: 'gitBlob', hex: oid ?? '' },
      });
    }
    return { id, revision: info.sha, license: licenseOf(info), files };
  } catch (error) {
    throw explainHubError(error, id, connection);
  }
}

/** A sentence that a person can act on, for whatever a request to the hub failed with. */
export function explainHubError(
  error: unknown,
  id: string,
  { hubUrl, accessToken }: Pick<HubConnection, 'hubUrl' | 'accessToken'>,
): AvisError {
  if (error instanceof AvisError) return error;
  if (error instanceof Error && error.name === 'AbortError') {
    return new AvisError('canceled', 'Canceled.', { cause: error });
  }
  const host = new URL(hubUrl).host;
  const explain = (message: string) => new AvisError('badInput', message, { cause: error });
  if (error instanceof HubApiError) {
    switch (error.statusCode) {
      case 401:
        return explain(
          accessToken
            ? `${host} doesn’t accept the access token for ${id}: set a valid one with “AVIS: Set Hugging Face Token…”.`
            : `${id} doesn’t exist on ${host}, or needs an access token: check the name, or set a token with “AVIS: Set Hugging Face Token…”.`,
        );
      case 403:
        return explain(
          `Access to ${id} is restricted: accept its conditions at ${hubUrl}/${id}, then set a token of that account with “AVIS: Set Hugging Face Token…”.`,
        );
      case 404:
        return explain(`There is no model ${id} on ${host}: check the name.`);
      case 429:
        return explain(`${host} refuses further requests for now: try again later.`);
      default:
        return explain(`${host} failed with status ${error.statusCode}: try again later.`);
    }
  }
  const cause = error instanceof Error ? (error.cause as { code?: string } | undefined) : undefined;
  const reason = cause?.code ?? (error instanceof Error ? error.message : String(error));
  return explain(
    `${host} can’t be reached (${reason}): check the network, VS Code’s http.proxy and avis.hub.endpoint, then try again.`,
  );
}

/** Whether an (other) access token could help. */
export function isAccessDenied(error: unknown): error is AvisError {
  const cause = error instanceof AvisError ? error.cause : undefined;
  return cause instanceof HubApiError && (cause.statusCode === 401 || cause.statusCode === 403);
}

function licenseOf(info: { tags?: unknown; cardData?: unknown }): string | undefined {
  const card = info.cardData as { license?: string; license_name?: string } | undefined;
  if (card?.license && card.license !== 'other') return card.license;
  if (card?.license_name) return card.license_name;
  const tags = Array.isArray(info.tags) ? (info.tags as string[]) : [];
  return tags.find((tag) => tag.startsWith('license:'))?.slice('license:'.length);
}

/** Seconds or an HTTP date. */
function retryAfterMs(value: string | null): number | undefined {
  if (value === null) return undefined;
  const seconds = Number(value);
  const waitMs = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(waitMs) ? Math.max(0, waitMs) : undefined;
}
