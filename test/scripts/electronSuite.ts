/**
 * Runs the suite of test/vscode in the desktop's VS Code, which @vscode/test-electron downloads.
 *   npm run test:electron
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { downloadAndUnzipVSCode, runTests } from '@vscode/test-electron';
import { root, testBedFolder } from './paths';
import { runCommand } from './processes';
import { compileSuite, followReport, prepareReport, prepareWorkspace } from './suite';

await runCommand(process.execPath, ['esbuild.js'], { cwd: root });
const vscodeExecutablePath = await downloadAndUnzipVSCode({ cachePath: testBedFolder }).catch(
  (error: Error) => {
    console.error(
      `The desktop's VS Code cannot be downloaded: ${error.message}. ` +
        '`npm run test:vscode` runs the same suite in the VS Code server from npm.',
    );
    process.exit(1);
  },
);
const tests = await compileSuite();
const workspace = await prepareWorkspace();
const dataFolder = await mkdtemp(join(tmpdir(), 'avis-vscode-'));
const reportFile = await prepareReport('electronSuite');
try {
  const desktop = runTests({
    vscodeExecutablePath,
    extensionDevelopmentPath: root,
    extensionTestsPath: tests,
    extensionTestsEnv: { AVIS_TEST_REPORT: reportFile },
    launchArgs: [
      workspace,
      '--user-data-dir',
      dataFolder,
      '--disable-extensions',
      '--disable-workspace-trust',
      '--skip-welcome',
    ],
  });
  const summary = followReport(reportFile, 150_000);
  await Promise.race([desktop, summary]);
  const { passed, failed } = await summary;
  await desktop.catch(() => {}); // it ends with an error when a test failed, which the summary says
  console.log(`VS Code suite (desktop): ${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
} finally {
  await rm(workspace, { recursive: true, force: true });
  await rm(dataFolder, { recursive: true, force: true });
}
process.exit();
