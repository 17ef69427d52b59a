/** Compiles the suite of test/vscode and lays out its workspace, for the debugger. */
import { cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { root, samplesFolder } from './paths';
import { compileSuite } from './suite';

await compileSuite();
const workspace = join(root, 'out/test/workspace');
await rm(workspace, { recursive: true, force: true });
await mkdir(workspace, { recursive: true });
await cp(samplesFolder, workspace, { recursive: true });
await writeFile(join(root, 'out/test/report.jsonl'), '');
