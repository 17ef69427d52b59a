import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository. */
export const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
/** Git-ignored: VS Code, the browser and their data, as @vscode/test-electron keeps them. */
export const testBedFolder = join(root, '.vscode-test');
/** Git-ignored: screenshots and logs of the last test run. */
export const artefactsFolder = join(root, 'test/artefacts');
export const samplesFolder = join(root, 'media/samples');
