/**
 * Runs the suite of test/vscode inside the extension host of a real VS Code server, in a browser.
 *   npm run test:vscode
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { launchBrowser } from './browser';
import { compileSuite, followReport, prepareReport, prepareWorkspace } from './suite';
import { developmentFolder, installVsCodeServer, startVsCodeServer } from './vscodeServer';
import { fail, openWorkbench, quietSettings } from './workbench';

const serverFolder = await installVsCodeServer();
const tests = await compileSuite();
const workspace = await prepareWorkspace();
const dataFolder = await mkdtemp(join(tmpdir(), 'avis-vscode-'));
const reportFile = await prepareReport('vscodeSuite');
const browser = await launchBrowser();
const server = await startVsCodeServer({
  serverFolder,
  dataFolder,
  settings: quietSettings('dark'),
  env: { AVIS_TEST_REPORT: reportFile },
});
try {
  const workbench = await openWorkbench(browser, server, {
    workspace,
    extensions: [await developmentFolder()],
    tests,
  });
  const { passed, failed } = await Promise.race([
    followReport(reportFile, 150_000),
    server.ended,
  ]).catch((error: unknown) => fail(workbench, 'vscodeSuite', error));
  console.log(`VS Code suite: ${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
} finally {
  await browser.close();
  server.stop();
  await rm(workspace, { recursive: true, force: true });
  await rm(dataFolder, { recursive: true, force: true });
}
