import { ok, strictEqual } from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { DeviceRun } from './deviceRun';
import { fusedCheckpoint, plainCheckpoint } from './models';
import { relativeError } from './reference';
import { hasSwiftShader, swiftShaderEnvironment } from './swiftShader';

const execute = promisify(execFile);

/**
 * Vulkan allows sin and cos, and so the rotary embedding, an absolute error of 2⁻¹¹, and this driver
 * takes it: 1.2e-3 was seen.
 */
const tolerance = 3e-3;

async function runOn(device: string, folder: string): Promise<DeviceRun> {
  const script = join(import.meta.dirname, 'deviceRun.ts');
  const { stdout } = await execute(process.execPath, ['--import=tsx', script, folder, device], {
    env: swiftShaderEnvironment(),
    cwd: join(import.meta.dirname, '../../..'),
  });
  return JSON.parse(stdout) as DeviceRun;
}

// Elsewhere no software Vulkan can be had, and a machine's own card is not for tests to depend on.
if (hasSwiftShader) {
  describe('webgpu on a software Vulkan', function () {
    this.timeout(180_000); // a processor drawing triangles
    for (const [name, folder] of [
      ['decomposed', plainCheckpoint],
      ['fused', fusedCheckpoint],
    ] as const) {
      it(`gives the CPU's numbers with ${name} attention, the cache staying on the device`, async () => {
        const cpu = await runOn('cpu', folder);
        const gpu = await runOn('webgpu', folder);
        strictEqual(gpu.device, 'webgpu');
        strictEqual(cpu.cacheLocation, 'cpu');
        strictEqual(gpu.cacheLocation, 'gpu-buffer');
        ok(relativeError(gpu.features, cpu.features) < tolerance, 'features');
        ok(relativeError(gpu.scores, cpu.scores) < tolerance, 'scores');
        gpu.logits.forEach((logits, i) => {
          ok(relativeError(logits, cpu.logits[i]!) < tolerance, `logits ${i}`);
        });
      });
    }
  });
}
