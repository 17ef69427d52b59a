/**
 * Builds the VSIX for this platform: bundles, media, and the native packages with this platform's
 * binaries only (all platforms together are some 290 MB).
 *   npm run package
 */
import { cp, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createVSIX } from '@vscode/vsce';
import { root } from './paths';
import { runCommand } from './processes';

/** Not bundled by esbuild.js; loaded from disk. */
const nativePackages = ['onnxruntime-node', 'sharp'];

interface PackageJson {
  name: string;
  version: string;
  dependencies: Record<string, string>;
}

interface InstalledPackage {
  dependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
}

/** @returns the path of the VSIX. */
export async function packageVsix(): Promise<string> {
  await runCommand(process.execPath, ['esbuild.js', '--production'], { cwd: root });
  const staging = join(root, 'out/vsix');
  await rm(staging, { recursive: true, force: true });
  await mkdir(staging, { recursive: true });

  const manifest = await readJson<PackageJson>('package.json');
  const shippedManifest = {
    ...manifest,
    scripts: undefined,
    devDependencies: undefined,
    dependencies: Object.fromEntries(
      nativePackages.map((name) => [name, manifest.dependencies[name]]),
    ),
  };
  await writeFile(join(staging, 'package.json'), JSON.stringify(shippedManifest, null, 2));
  const bundles = ['extension.cjs', 'engineProcess.mjs', 'panel.js', 'panel.css'];
  const shipped = [
    ...bundles.map((name) => `out/${name}`),
    'README.md',
    'CHANGELOG.md',
    'LICENSE',
    '.vscodeignore',
    'media',
    ...(await installedClosure(nativePackages)),
  ];
  for (const path of shipped) {
    await cp(join(root, path), join(staging, path), {
      recursive: true,
      filter: (source) => !isForeignBinary(source),
    });
  }

  const target = `${process.platform}-${process.arch}`;
  const vsix = join(root, `${manifest.name}-${target}-${manifest.version}.vsix`);
  await createVSIX({
    cwd: staging,
    packagePath: vsix,
    target,
    allowMissingRepository: true,
    rewriteRelativeLinks: false,
  });
  await rm(staging, { recursive: true });
  const { size } = await stat(vsix);
  console.log(`${vsix}: ${(size / 2 ** 20).toFixed(1)} MiB`);
  return vsix;
}

/** onnxruntime-node carries bin/napi-v6/PLATFORM/ARCH for every platform. */
function isForeignBinary(path: string): boolean {
  const [, platform, arch] = /napi-v\d+[\\/]([^\\/]+)(?:[\\/]([^\\/]+))?/.exec(path) ?? [];
  if (platform === undefined) return false;
  return platform !== process.platform || (arch !== undefined && arch !== process.arch);
}

/** @returns the folders of the packages and of what they need, as npm installed it on this platform. */
async function installedClosure(names: string[]): Promise<string[]> {
  const { packages } = await readJson<{ packages: Record<string, InstalledPackage> }>(
    'node_modules/.package-lock.json',
  );
  const folders = new Set<string>();
  const visit = (name: string, from: string) => {
    const folder = resolveFolder(name, from, packages);
    if (folder === undefined || folders.has(folder)) return; // an optional one of another platform
    folders.add(folder);
    const { dependencies, optionalDependencies } = packages[folder]!;
    for (const needed of Object.keys({ ...dependencies, ...optionalDependencies })) {
      visit(needed, folder);
    }
  };
  for (const name of names) visit(name, '');
  return [...folders];
}

/** Node's own look-up: the nearest node_modules above `from` that has the package. */
function resolveFolder(
  name: string,
  from: string,
  packages: Record<string, InstalledPackage>,
): string | undefined {
  for (let folder = from; ; folder = folder === '' ? '.' : posix.dirname(folder)) {
    const candidate = posix.join(folder, 'node_modules', name);
    if (packages[candidate]) return candidate;
    if (folder === '' || folder === '.') return undefined;
  }
}

async function readJson<Value>(path: string): Promise<Value> {
  return JSON.parse(await readFile(join(root, path), 'utf8')) as Value;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await packageVsix();
