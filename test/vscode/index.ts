/**
 * The entry of the suite inside VS Code (`extensionTestsPath`): runs every *.test.cjs beside it and
 * writes what happens to the file named in AVIS_TEST_REPORT, one JSON object a line, because the
 * extension host has no terminal of its own.
 */
import { appendFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { SuiteEvent } from '../scripts/suite';

export async function run(): Promise<void> {
  const reportFile = process.env['AVIS_TEST_REPORT'];
  if (reportFile === undefined) throw new Error('AVIS_TEST_REPORT names no file for the results.');
  const report = (event: SuiteEvent) => appendFileSync(reportFile, `${JSON.stringify(event)}\n`);
  try {
    const { default: Mocha } = await import('mocha');
    const mocha = new Mocha({
      ui: 'bdd',
      timeout: 120_000,
      forbidOnly: true,
      forbidPending: true,
      reporter: 'base', // prints nothing
    });
    for (const file of readdirSync(__dirname).filter((name) => name.endsWith('.test.cjs'))) {
      mocha.addFile(join(__dirname, file));
    }
    const failures = await new Promise<number>((resolve) => {
      const runner = mocha.run(resolve);
      runner.on('pass', (test) =>
        report({ type: 'pass', title: titleOf(test), elapsedMs: test.duration ?? 0 }),
      );
      runner.on('fail', (test, error: Error) =>
        report({ type: 'fail', title: titleOf(test), error: error.stack ?? error.message }),
      );
    });
    report({ type: 'end' });
    if (failures > 0) throw new Error(`${failures} tests failed.`);
  } catch (error) {
    report({ type: 'end', error: error instanceof Error ? error.message : String(error) });
    throw error;
  }
}

function titleOf(test: Mocha.Runnable): string {
  return test.titlePath().join(' › ');
}
