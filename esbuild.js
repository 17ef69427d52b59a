// Builds what runs: the extension host, the engine process, the command line and the panel.
//   node esbuild.js [--watch] [--production]
import * as esbuild from 'esbuild';

const production = process.argv.includes('--production');
const watch = process.argv.includes('--watch');

/** @type {import('esbuild').BuildOptions} */
const shared = {
  bundle: true,
  minify: production,
  sourcemap: production ? false : 'linked',
  logLevel: 'info',
  outdir: 'out',
};

// Native packages stay outside the bundles; the VSIX carries them (see .vscodeignore).
const native = ['onnxruntime-node', 'sharp'];

/** @type {import('esbuild').BuildOptions[]} */
const builds = [
  {
    ...shared,
    entryPoints: { extension: 'src/extension.ts' },
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    outExtension: { '.js': '.cjs' },
    external: ['vscode'],
  },
  {
    ...shared,
    entryPoints: { engineProcess: 'src/engineProcess/main.ts', ask: 'src/cli/ask.ts' },
    platform: 'node',
    target: 'node20',
    format: 'esm',
    outExtension: { '.js': '.mjs' },
    external: native,
    banner: {
      js: "import { createRequire as createRequireFromUrl } from 'node:module'; const require = createRequireFromUrl(import.meta.url);",
    },
  },
  {
    ...shared,
    entryPoints: { panel: 'webview/panel.ts' },
    platform: 'browser',
    target: 'es2022',
    format: 'iife',
  },
];

if (watch) {
  const contexts = await Promise.all(builds.map((options) => esbuild.context(options)));
  await Promise.all(contexts.map((context) => context.watch()));
} else {
  await Promise.all(builds.map((options) => esbuild.build(options)));
}
