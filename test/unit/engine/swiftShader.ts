import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliDecompressSync } from 'node:zlib';

const root = join(import.meta.dirname, '../../..');
const packed = join(root, 'node_modules/@sparticuz/chromium/bin/swiftshader.tar.br');

/** Whether a software Vulkan can be had here: the npm package carries one for Linux on x64. */
export const hasSwiftShader =
  process.platform === 'linux' && process.arch === 'x64' && existsSync(packed);

/** Unpacks SwiftShader and the Vulkan loader; returns the environment that makes Dawn use them. */
export function swiftShaderEnvironment(): NodeJS.ProcessEnv {
  const folder = join(root, '.vscode-test/swiftshader');
  const driver = join(folder, 'vk_swiftshader_icd.json');
  if (!existsSync(driver)) {
    mkdirSync(folder, { recursive: true });
    const archive = join(folder, 'swiftshader.tar');
    writeFileSync(archive, brotliDecompressSync(readFileSync(packed)));
    execFileSync('tar', ['-xf', archive, '-C', folder]);
  }
  return { ...process.env, VK_ICD_FILENAMES: driver, LD_LIBRARY_PATH: folder };
}
