/**
 * Opens VS Code on the sample images with the extension loaded: the desktop's where there is a `code`
 * command, else the npm server, whose address is printed.
 *   npm start
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root, samplesFolder, testBedFolder } from './paths';
import { runCommand } from './processes';
import {
  developmentFolder,
  installVsCodeServer,
  startVsCodeServer,
  workbenchUrl,
} from './vscodeServer';

await runCommand(process.execPath, ['esbuild.js'], { cwd: root });

const desktop = spawnSync(
  'code',
  ['--new-window', `--extensionDevelopmentPath=${root}`, samplesFolder],
  { shell: process.platform === 'win32', stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8' },
);
if (desktop.status === 0) {
  console.log(
    'Opened in VS Code. Right-click an image in the Explorer and choose "Ask with AVIS…".',
  );
} else {
  if (desktop.error === undefined) console.log(`\`code\` failed: ${desktop.stderr.trim()}`);
  const server = await startVsCodeServer({
    serverFolder: await installVsCodeServer(),
    dataFolder: join(testBedFolder, 'startData'),
  });
  const url = workbenchUrl(server, {
    workspace: samplesFolder,
    extensions: [await developmentFolder()],
  });
  console.log(`\nVS Code runs at\n\n  ${url}\n`);
  console.log(
    'Open it in a browser, right-click an image in the Explorer, choose "Ask with AVIS…".',
  );
  console.log('Ctrl+C ends it.');
  await server.ended;
}
