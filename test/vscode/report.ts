/** For tests that measure: a figure in the runner's output and in its record, asserted nowhere. */
import { appendFileSync } from 'node:fs';
import type { SuiteEvent } from '../scripts/suite';

export function reportFigure(name: string, value: number, unit: string): void {
  const reportFile = process.env['AVIS_TEST_REPORT'];
  if (reportFile === undefined) throw new Error('AVIS_TEST_REPORT names no file for the results.');
  const event: SuiteEvent = { type: 'figure', name, value, unit };
  appendFileSync(reportFile, `${JSON.stringify(event)}\n`);
}
