/** A Chromium to drive VS Code with: the one in the npm package on Linux x64, else an installed one. */
import { execFileSync } from 'node:child_process';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { chmod, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createBrotliDecompress } from 'node:zlib';
import { type Browser, chromium } from 'playwright-core';
import { testBedFolder } from './paths';

const installedBrowsers: Partial<Record<NodeJS.Platform, string[]>> = {
  linux: ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'],
  darwin: [
    '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
    '/Applications/Chromium.app/Contents/MacOS/Chromium',
    '/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge',
  ],
  win32: [
    String.raw`C:\Program Files\Google\Chrome\Application\chrome.exe`,
    String.raw`C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe`,
  ],
};

/** @throws when no Chromium can be had here, saying what to install. */
export async function launchBrowser(): Promise<Browser> {
  const { executablePath, env } = await findBrowser();
  return chromium.launch({
    executablePath,
    env: { ...(process.env as Record<string, string>), ...env },
    // The sandbox needs rights that root in a container does not have; only our own pages are opened.
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--font-render-hinting=none'],
  });
}

async function findBrowser(): Promise<{ executablePath: string; env: Record<string, string> }> {
  const named = process.env['AVIS_TEST_BROWSER'];
  if (named !== undefined) return { executablePath: named, env: {} };
  if (process.platform === 'linux' && process.arch === 'x64') return findPackedBrowser();
  const found = installedBrowsers[process.platform]?.find((path) => existsSync(path));
  if (found !== undefined) return { executablePath: found, env: {} };
  throw new Error(
    'No Chromium, Chrome or Edge was found. Install one, or name its executable in AVIS_TEST_BROWSER.',
  );
}

async function findPackedBrowser(): Promise<{
  executablePath: string;
  env: Record<string, string>;
}> {
  const folder = await unpackBrowser();
  const executablePath = join(folder, 'chromium');
  const env: Record<string, string> = { FONTCONFIG_FILE: join(folder, 'fonts.conf') };
  // Its NSS libraries only where the system has none: they may not suit the system's own.
  if (!starts(executablePath, env)) {
    env['LD_LIBRARY_PATH'] = [join(folder, 'lib'), process.env['LD_LIBRARY_PATH'] ?? ''].join(':');
    if (!starts(executablePath, env)) {
      throw new Error(
        `${executablePath} does not start; run it with --version to see which library is missing, ` +
          'or name another browser in AVIS_TEST_BROWSER.',
      );
    }
  }
  return { executablePath, env };
}

/** Unpacks @sparticuz/chromium with its SwiftShader, fonts and NSS libraries; @returns the folder. */
async function unpackBrowser(): Promise<string> {
  const folder = join(testBedFolder, 'chromium');
  if (existsSync(folder)) return folder;

  console.log('Unpacking the browser …');
  const packageFile = createRequire(import.meta.url).resolve('@sparticuz/chromium');
  const packed = join(dirname(packageFile), '../../bin');
  const partial = `${folder}.partial`;
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial, { recursive: true });
  for (const name of ['chromium', 'fonts.tar', 'swiftshader.tar', 'al2023.tar']) {
    await pipeline(
      createReadStream(join(packed, `${name}.br`)),
      createBrotliDecompress(),
      createWriteStream(join(partial, name)),
    );
    if (!name.endsWith('.tar')) continue;
    execFileSync('tar', ['-xf', join(partial, name), '-C', partial]);
    await rm(join(partial, name));
  }
  await chmod(join(partial, 'chromium'), 0o755);
  await writeFile(
    join(partial, 'fonts.conf'),
    `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>${folder}/fonts</dir>
  <dir>/usr/share/fonts</dir>
  <cachedir>${folder}/fontsCache</cachedir>
</fontconfig>
`,
  );
  await rename(partial, folder);
  return folder;
}

function starts(executablePath: string, env: Record<string, string>): boolean {
  try {
    execFileSync(executablePath, ['--version'], {
      env: { ...process.env, ...env },
      stdio: 'ignore',
    });
    return true;
  } catch {
    return false;
  }
}
