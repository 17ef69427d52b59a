/**
 * Everything that can fail: unit tests, the suite inside VS Code, the end-to-end test as a person.
 *   npm test                      all of it
 *   npm run test:vscode           some stages, by name: build, unit, vscode, e2e, vsix
 */
import { root } from './paths';
import { killProcess, startProcess } from './processes';

interface Stage {
  title: string;
  args: string[];
  limitMinutes: number;
}

const mocha = ['node_modules/mocha/bin/mocha.js', '--import=tsx'];
/** A busy machine may take its time to open VS Code. */
const slow = [...mocha, '--timeout=180000'];
const stages: Record<string, Stage> = {
  build: { title: 'Build', args: ['esbuild.js'], limitMinutes: 2 },
  unit: {
    title: 'Unit tests',
    args: [...mocha, 'test/unit/**/*.test.ts'],
    limitMinutes: 12,
  },
  vscode: {
    title: 'Suite inside VS Code',
    args: ['--import=tsx', 'test/scripts/vscodeSuite.ts'],
    limitMinutes: 12,
  },
  e2e: {
    title: 'End-to-end test, as a person',
    args: [...slow, 'test/e2e/**/*.test.ts'],
    limitMinutes: 12,
  },
  vsix: {
    title: 'The package, installed',
    args: [...slow, 'test/vsix/**/*.test.ts'],
    limitMinutes: 12,
  },
};
const byDefault = ['build', 'unit', 'vscode', 'e2e'];

const wanted = process.argv.length > 2 ? process.argv.slice(2) : byDefault;
const summary: string[] = [];
const total = { passed: 0, failed: 0 };
for (const name of wanted) {
  const stage = stages[name];
  if (!stage) throw new Error(`No stage "${name}"; there are ${Object.keys(stages).join(', ')}.`);
  console.log(`\n── ${stage.title} ──\n`);
  const startedAt = Date.now();
  const { passed, failed } = await runStage(stage);
  total.passed += passed;
  total.failed += failed;
  if (passed + failed === 0) continue; // the build
  const seconds = Math.round((Date.now() - startedAt) / 1000);
  summary.push(`${stage.title}: ${passed} passed, ${failed} failed (${seconds} s)`);
  if (name === 'build') break;
}
console.log(`\n${summary.join('\n')}\n${total.passed} passed, ${total.failed} failed`);
process.exit(total.failed === 0 ? 0 : 1);

/** Shows a stage's output and counts its tests; a stage that fails without a count is one failure. */
async function runStage(stage: Stage): Promise<{ passed: number; failed: number }> {
  const child = startProcess(
    process.execPath,
    stage.args,
    { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] },
    'SIGTERM',
  );
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    output += chunk.toString();
    process.stdout.write(chunk);
  });
  const timer = setTimeout(() => {
    console.error(`${stage.title} was stopped after ${stage.limitMinutes} minutes.`);
    killProcess(child);
  }, stage.limitMinutes * 60_000);
  const code = await new Promise<number | null>((resolve) => {
    child.once('close', resolve);
  });
  clearTimeout(timer);
  const lastCount = (pattern: RegExp) => Number([...output.matchAll(pattern)].at(-1)?.[1] ?? 0);
  const passed = lastCount(/(\d+) (?:passing|passed)/g);
  const failed = lastCount(/(\d+) (?:failing|failed)/g);
  return { passed, failed: code === 0 ? failed : Math.max(failed, 1) };
}
