// `npm run ask`: runs the command line from the sources, built first where the bundle is missing or
// older than they are. Prints nothing of its own unless the build fails.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const bundle = join(root, 'out/ask.mjs');

if (!existsSync(bundle) || newestChange(join(root, 'src')) > statSync(bundle).mtimeMs) {
  const build = spawnSync(process.execPath, ['esbuild.js'], { cwd: root, encoding: 'utf8' });
  if (build.status !== 0) {
    console.error(`The build failed; run "npm run build" to see why.\n${build.stderr}`);
    process.exit(1);
  }
}

// npm runs scripts in the package's folder; relative paths are meant from where the person stands.
if (process.env.INIT_CWD) process.chdir(process.env.INIT_CWD);
await import(pathToFileURL(bundle).href);

/** Milliseconds since the epoch of the newest file below `folder`. */
function newestChange(folder) {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true });
  return Math.max(
    ...files
      .filter((file) => file.isFile())
      .map((file) => statSync(join(file.parentPath, file.name)).mtimeMs),
  );
}
