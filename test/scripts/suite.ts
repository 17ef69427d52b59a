/** The suite that runs inside VS Code: compiled once, run on the npm server or on the desktop. */
import { existsSync, readFileSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as esbuild from 'esbuild';
import { artefactsFolder, root, samplesFolder } from './paths';

/** What the suite writes to its report file, one JSON object a line. */
export type SuiteEvent =
  | { type: 'pass'; title: string; elapsedMs: number }
  | { type: 'fail'; title: string; error: string }
  | { type: 'figure'; name: string; value: number; unit: string }
  | { type: 'end'; error?: string };

export interface SuiteSummary {
  passed: number;
  failed: number;
}

/** @returns the `extensionTestsPath` of the compiled suite. */
export async function compileSuite(): Promise<string> {
  const outdir = join(root, 'out/test/vscode');
  await rm(outdir, { recursive: true, force: true }); // of tests that are no more
  await esbuild.build({
    entryPoints: [join(root, 'test/vscode/index.ts'), join(root, 'test/vscode/*.test.ts')],
    outdir,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    outExtension: { '.js': '.cjs' },
    external: ['vscode', 'mocha', 'sharp'],
    sourcemap: 'inline',
    logLevel: 'warning',
  });
  return join(outdir, 'index.cjs');
}

/** A picture of media/samples and what to ask about it. */
export interface Sample {
  file: string;
  question: string;
  answer: string;
}

export function readSamples(): Sample[] {
  return JSON.parse(readFileSync(join(samplesFolder, 'questions.json'), 'utf8')) as Sample[];
}

/** Copies the sample images to a folder that tests may write into. */
export async function prepareWorkspace(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'avis-workspace-'));
  await cp(samplesFolder, folder, { recursive: true });
  return folder;
}

/** A fresh, empty report file. */
export async function prepareReport(name: string): Promise<string> {
  await mkdir(artefactsFolder, { recursive: true });
  const file = join(artefactsFolder, `${name}.jsonl`);
  await writeFile(file, '');
  return file;
}

/**
 * Prints events as they come until the suite ends.
 * @throws when a whole `silenceLimitMs` passes with no event.
 */
export async function followReport(file: string, silenceLimitMs: number): Promise<SuiteSummary> {
  const summary: SuiteSummary = { passed: 0, failed: 0 };
  let seen = 0;
  let lastChange = Date.now();
  for (;;) {
    const text = existsSync(file) ? await readFile(file, 'utf8') : '';
    const lines = text.split('\n').slice(0, -1); // the last one is unfinished or empty
    for (const line of lines.slice(seen)) {
      lastChange = Date.now();
      const event = JSON.parse(line) as SuiteEvent;
      switch (event.type) {
        case 'pass':
          summary.passed++;
          console.log(`  ✔ ${event.title} (${event.elapsedMs} ms)`);
          break;
        case 'fail':
          summary.failed++;
          console.log(`  ✘ ${event.title}\n${event.error.replace(/^/gm, '      ')}`);
          break;
        case 'figure':
          console.log(`    ${event.name}: ${event.value} ${event.unit}`);
          break;
        case 'end':
          if (event.error !== undefined && summary.failed === 0) throw new Error(event.error);
          return summary;
        default:
          event satisfies never;
      }
    }
    seen = lines.length;
    if (Date.now() - lastChange > silenceLimitMs) {
      throw new Error(`The suite inside VS Code said nothing for ${silenceLimitMs / 1000} s.`);
    }
    await new Promise((resolve) => {
      setTimeout(resolve, 200);
    });
  }
}
