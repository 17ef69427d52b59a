/** Child processes that never outlive the script that started them. */
import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process';

type EndSignal = 'SIGTERM' | 'SIGKILL';

const running = new Map<ChildProcess, EndSignal>();

/**
 * Starts a process as the head of its own group, so that its own children end with it.
 * @param endSignal SIGTERM for one that itself starts groups and ends them when it is told to.
 */
export function startProcess(
  command: string,
  args: string[],
  options: SpawnOptions,
  endSignal: EndSignal = 'SIGKILL',
): ChildProcess {
  const child = spawn(command, args, { ...options, detached: process.platform !== 'win32' });
  running.set(child, endSignal);
  child.once('error', () => running.delete(child));
  return child;
}

/** Ends a process and everything that it started. */
export function killProcess(child: ChildProcess): void {
  const endSignal = running.get(child);
  running.delete(child);
  if (child.pid === undefined) return;
  if (process.platform === 'win32') {
    spawnSync('taskkill', ['/pid', String(child.pid), '/t', '/f']);
    return;
  }
  try {
    process.kill(-child.pid, endSignal);
  } catch {
    // The group is gone already.
  }
}

/** Runs a command to its end with its output shown; throws when it fails. */
export async function runCommand(
  command: string,
  args: string[],
  options: SpawnOptions = {},
): Promise<void> {
  const child = startProcess(command, args, {
    stdio: ['ignore', 'inherit', 'inherit'],
    shell: process.platform === 'win32',
    ...options,
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', resolve);
  });
  running.delete(child);
  if (code !== 0) throw new Error(`\`${command} ${args.join(' ')}\` ended with code ${code}.`);
}

process.on('exit', () => {
  for (const child of running.keys()) killProcess(child);
});
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  process.on(signal, () => process.exit(code));
}
