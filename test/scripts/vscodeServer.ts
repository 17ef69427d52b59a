/**
 * A real VS Code from the npm registry alone: the server inside the `code-server` package, started
 * without code-server's own front.
 */
import { existsSync } from 'node:fs';
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { testBedFolder } from './paths';
import { killProcess, runCommand, startProcess } from './processes';

/** Holds VS Code 1.100.3; the newest whose `engines` admit Node 20. */
const codeServerVersion = '4.100.3';

const serverFlags = [
  '--host=127.0.0.1',
  '--port=0',
  '--without-connection-token',
  '--accept-server-license-terms',
  '--telemetry-level=off',
];

export interface VsCodeServer {
  /** `127.0.0.1:PORT`, also the remote authority of what it serves. */
  authority: string;
  /** Settles when the server ends by itself; the test has failed then. */
  ended: Promise<never>;
  /** What it has written so far, for failure messages. */
  output: () => string;
  stop: () => void;
}

/** @returns the folder of VS Code's server, installed on first use (about 15 s, 270 MB). */
export async function installVsCodeServer(): Promise<string> {
  const folder = join(testBedFolder, `code-server-${codeServerVersion}`);
  const serverFolder = join(folder, 'node_modules/code-server/lib/vscode');
  if (existsSync(folder)) return serverFolder;

  console.log(`Installing VS Code's server (code-server ${codeServerVersion}) …`);
  // Made beside and renamed at the end, so that an interrupted install is never taken for a whole one.
  const partial = `${folder}.partial`;
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial, { recursive: true });
  await writeFile(join(partial, 'package.json'), '{ "private": true }\n');
  const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  await runCommand('npm', ['install', ...quiet, `code-server@${codeServerVersion}`], {
    cwd: partial,
  });
  await runCommand('npm', ['install', '--omit=dev', ...quiet], {
    cwd: join(partial, 'node_modules/code-server/lib/vscode'),
  });
  await rename(partial, folder);
  return serverFolder;
}

/**
 * @returns another path of this repository. VS Code takes whatever lies under an extension that is
 * being developed for a part of it, and its own extensions lie in .vscode-test: under the repository's
 * plain path their themes and languages would be missing.
 */
export async function developmentFolder(): Promise<string> {
  const link = join(testBedFolder, 'extension');
  await mkdir(testBedFolder, { recursive: true });
  if (!existsSync(link)) await symlink('..', link, 'junction');
  return link;
}

/**
 * Starts the server on a free port of 127.0.0.1.
 * @param dataFolder holds its user data (`User/settings.json`) and its extensions.
 * @throws when it does not listen within a minute, with what it wrote.
 */
export async function startVsCodeServer(options: {
  serverFolder: string;
  dataFolder: string;
  /** Replace VS Code's user settings; without them a person's own are kept. */
  settings?: Record<string, unknown>;
  env?: Record<string, string>;
  workspaceTrust?: boolean;
}): Promise<VsCodeServer> {
  const { serverFolder, dataFolder, settings, env = {}, workspaceTrust = false } = options;
  if (settings !== undefined) {
    await mkdir(join(dataFolder, 'User'), { recursive: true });
    await writeFile(join(dataFolder, 'User/settings.json'), JSON.stringify(settings, null, 2));
  }
  const child = startProcess(
    process.execPath,
    [
      join(serverFolder, 'out/server-main.js'),
      ...serverFlags,
      '--user-data-dir',
      dataFolder,
      '--extensions-dir',
      extensionsFolder(dataFolder),
      ...(workspaceTrust ? [] : ['--disable-workspace-trust']),
    ],
    { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } },
  );
  let output = '';
  const stop = () => killProcess(child);
  const ended = new Promise<never>((_, reject) => {
    child.once('error', reject);
    child.once('exit', (code) =>
      reject(new Error(`VS Code's server ended by itself (code ${code}).\n${output}`)),
    );
  });
  ended.catch(() => {}); // whoever waits for it sees it; nobody need wait
  const listening = new Promise<string>((resolve) => {
    const read = (chunk: Buffer) => {
      output += chunk.toString();
      const port = /Extension host agent listening on (\d+)/.exec(output)?.[1];
      if (port !== undefined) resolve(port);
    };
    child.stdout?.on('data', read);
    child.stderr?.on('data', read);
  });
  const port = await Promise.race([
    listening,
    ended,
    rejectAfter(60_000, () => `VS Code's server does not listen.\n${output}`),
  ]);
  return { authority: `127.0.0.1:${port}`, ended, output: () => output, stop };
}

/** Installs a VSIX for the servers that are started on `dataFolder`. */
export async function installExtension(
  serverFolder: string,
  dataFolder: string,
  vsix: string,
): Promise<void> {
  await runCommand(
    process.execPath,
    [
      join(serverFolder, 'out/server-main.js'),
      '--accept-server-license-terms',
      '--extensions-dir',
      extensionsFolder(dataFolder),
      '--install-extension',
      vsix,
    ],
    { stdio: ['ignore', 'inherit', 'ignore'] }, // its missing native logger fills pages
  );
}

export function extensionsFolder(dataFolder: string): string {
  return join(dataFolder, 'extensions');
}

/**
 * @returns the address that opens `workspace` with the extensions under development, and runs the
 * test suite `tests` (a module exporting `run()`) in the extension host when it is given.
 */
export function workbenchUrl(
  server: VsCodeServer,
  options: { workspace: string; extensions: string[]; tests?: string },
): string {
  const remote = (path: string) =>
    `vscode-remote://${server.authority}${pathToFileURL(path).pathname}`;
  const payload: [string, string][] = [['skipWelcome', 'true']];
  for (const extension of options.extensions) {
    payload.push(['extensionDevelopmentPath', remote(extension)]);
  }
  if (options.tests !== undefined) payload.push(['extensionTestsPath', remote(options.tests)]);
  const query = new URLSearchParams({
    folder: options.workspace,
    payload: JSON.stringify(payload),
  });
  return `http://${server.authority}/?${query.toString()}`;
}

/** Rejects after `limitMs`, without keeping the process alive for it. */
export function rejectAfter(limitMs: number, message: () => string): Promise<never> {
  return new Promise((_, reject) => {
    setTimeout(() => reject(new Error(message())), limitMs).unref();
  });
}
