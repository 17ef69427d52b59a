// Starts a script of this folder on any clone: installs the dependencies first where they are missing
// or differ from the lock file, then runs the TypeScript script with what follows as its arguments.
// Without a script it only installs.
//   node test/scripts/run.mjs [SCRIPT [ARGUMENT…]]
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const [script, ...scriptArguments] = process.argv.slice(2);

const oldestNode = 20;
if (Number.parseInt(process.versions.node, 10) < oldestNode) {
  console.error(`Node ${process.versions.node} is too old; install Node ${oldestNode} or newer.`);
  process.exit(2);
}

if (!dependenciesMatchLock()) {
  console.log('Installing the dependencies (npm ci) …');
  const install = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    shell: process.platform === 'win32',
    // .npmrc says the same; this reaches install scripts under every npm version.
    env: { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip' },
  });
  if (install.status !== 0) {
    console.error('npm ci failed; its messages above say why.');
    process.exit(1);
  }
}

if (script === undefined) process.exit(0);
const child = spawn(
  process.execPath,
  ['--import', 'tsx', join('test/scripts', `${script}.ts`), ...scriptArguments],
  { cwd: root, stdio: 'inherit' },
);
// A terminal's Ctrl+C reaches the child by itself; a kill of this process has to be passed on.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => child.kill('SIGTERM'));
child.on('exit', (code) => process.exit(code ?? 1));

/** Compares package-lock.json with what npm noted about its last install. */
function dependenciesMatchLock() {
  const noted = join(root, 'node_modules/.package-lock.json');
  if (!existsSync(noted)) return false;
  const installed = JSON.parse(readFileSync(noted, 'utf8')).packages;
  const locked = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  return Object.entries(locked).every(
    ([path, { version, optional }]) =>
      path === '' || optional === true || installed[path]?.version === version,
  );
}
