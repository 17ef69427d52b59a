import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { listSupportedBackends, type InferenceSession, Tensor } from 'onnxruntime-node';
import { AvisError } from '../shared/errors';
import type { DeviceName, DeviceReport, DeviceSetting } from '../shared/types';
import { GraphSession } from './session';
import { selfTestGraph } from './smallGraphs';

/**
 * Below this many parameters `auto` takes the CPU: launching a GPU's kernels for a few matrices a
 * layer takes longer than computing them.
 */
const cpuParameterLimit = 100_000_000;

/** One may have been somebody closing the window while the model was loading. */
const toleratedFailures = 2;

/**
 * What `auto` tries, best first. cuda computes fastest but only webgpu keeps the KV cache on the
 * device, so it comes before dml and coreml.
 */
const platformOrder: Partial<Record<NodeJS.Platform, DeviceName[]>> = {
  linux: ['cuda', 'webgpu', 'cpu'],
  win32: ['webgpu', 'dml', 'cpu'],
  darwin: ['webgpu', 'coreml', 'cpu'],
};

/** What each device to try is tried with: returns when it works, throws why it doesn't. */
type UseDevice<Result> = (device: DeviceName) => Promise<Result>;

/**
 * Runs `use` on the wanted device, or for `auto` on the first that works, and tells why the others
 * don't. A device that keeps bringing the process down is not tried again by `auto`.
 * @throws {AvisError} 'device' when the one asked for can't be used; what `use` throws on the last.
 */
export async function withDevice<Result>(
  options: {
    setting: DeviceSetting;
    parameters: number;
    cacheFolder: string;
    onProbe: (device: DeviceName) => void;
  },
  use: UseDevice<Result>,
): Promise<{ result: Result; report: DeviceReport }> {
  const { setting, parameters, cacheFolder, onProbe } = options;
  const rejected: DeviceReport['rejected'] = [];
  const order = setting === 'auto' ? (platformOrder[process.platform] ?? ['cpu']) : [setting];
  for (const device of order) {
    if (device === 'cpu') return { result: await use('cpu'), report: { device: 'cpu', rejected } };
    const marker = join(cacheFolder, `probing-${device}`);
    const failures = Number(await readFile(marker, 'utf8').catch(() => 0));
    if (setting === 'auto') {
      const reason = reasonNotToProbe(device, parameters, failures);
      if (reason) {
        rejected.push({ device, reason });
        continue;
      }
    }
    onProbe(device);
    // Stays behind only if the process ends meanwhile. A full disk must not stop a model.
    await mkdir(cacheFolder, { recursive: true })
      .then(() => writeFile(marker, String(failures + 1)))
      .catch(() => {});
    try {
      await selfTest(device);
      return { result: await use(device), report: { device, rejected } };
    } catch (error) {
      if (setting !== 'auto' || !isReasonToGoOn(error)) throw error;
      rejected.push({ device, reason: error.message });
    } finally {
      await rm(marker, { force: true }).catch(() => {});
    }
  }
  throw new AvisError('internal', 'No device was tried.');
}

export function sessionOptions(device: DeviceName): InferenceSession.SessionOptions {
  return { executionProviders: [device] };
}

/** A device that fails or is too small; what is wrong with the model is wrong everywhere. */
function isReasonToGoOn(error: unknown): error is Error {
  if (error instanceof AvisError) return error.code === 'device' || error.code === 'outOfMemory';
  return error instanceof Error;
}

function reasonNotToProbe(device: DeviceName, parameters: number, failures: number): string | null {
  if (parameters < cpuParameterLimit) {
    const millions = Math.max(1, Math.round(parameters / 1e6));
    return `Not tried: with ${millions} million parameters the CPU is faster than starting a GPU for each step.`;
  }
  if (failures < toleratedFailures) return null;
  return `It ended the engine process ${failures} times. Set the device to ${device} to try again.`;
}

/**
 * Computes softmax(a·b)·b on the device and compares it with the same on the CPU.
 * @throws {AvisError} 'device' saying what is missing or wrong.
 */
async function selfTest(device: DeviceName): Promise<void> {
  const backends = listSupportedBackends().map(({ name }) => name);
  if (!backends.includes(device)) {
    throw new AvisError(
      'device',
      `${device} isn't available on ${process.platform} ${process.arch}. There: ${backends.join(', ')}.`,
    );
  }
  const expected = await runSelfTest('cpu');
  const got = await runSelfTest(device).catch((error: unknown) => {
    throw new AvisError('device', whyNot(device, error), { cause: error });
  });
  const error = got.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i]!)), 0);
  if (!(error < 1e-2)) {
    throw new AvisError(
      'device',
      `${device} computes wrongly: its self-test is off by ${error.toPrecision(2)}. Update the graphics driver.`,
    );
  }
}

function whyNot(device: DeviceName, error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  if (device === 'cuda' && /load shared library/i.test(message)) {
    return `The CUDA libraries aren't installed, or don't fit the driver. The command "AVIS: Install CUDA Libraries" installs them.`;
  }
  if (/adapter/i.test(message)) return `No graphics card that ${device} can use was found.`;
  return message;
}

async function runSelfTest(device: DeviceName): Promise<Float32Array> {
  const size = 32;
  const matrix = (step: number) =>
    new Tensor(
      'float32',
      Float32Array.from({ length: size * size }, (_, i) => Math.sin(i * step)),
      [size, size],
    );
  const graph = await GraphSession.create(
    selfTestGraph(),
    'The self-test',
    sessionOptions(device),
    device,
  );
  try {
    const { y } = await graph.run({ a: matrix(0.37), b: matrix(0.11) });
    return Float32Array.from(y!.data as Float32Array);
  } finally {
    await graph.release();
  }
}
