import { deepStrictEqual, match, ok, rejects, strictEqual } from 'node:assert/strict';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { withDevice } from '../../../src/engine/device';
import { AvisError } from '../../../src/shared/errors';
import type { DeviceName, DeviceSetting } from '../../../src/shared/types';
import { temporaryFolder } from './models';

const largeModel = 3_000_000_000;

describe('choice of a device', () => {
  const cacheFolder = temporaryFolder();
  const choose = (
    setting: DeviceSetting,
    parameters: number,
    use: (device: DeviceName) => Promise<string> = async (device) => device,
  ) => withDevice({ setting, parameters, cacheFolder, onProbe: () => {} }, use);

  it('takes the CPU for a small model and says why', async () => {
    const { result, report } = await choose('auto', 4_000_000);
    strictEqual(result, 'cpu');
    strictEqual(report.device, 'cpu');
    for (const { reason } of report.rejected) match(reason, /with 4 million parameters the CPU/);
  });

  it('gives a reason for every device that a large model was not given', async () => {
    const { result, report } = await choose('auto', largeModel);
    strictEqual(result, report.device);
    ok(report.rejected.every(({ device, reason }) => device !== report.device && reason !== ''));
    deepStrictEqual(readdirSync(cacheFolder), [], 'a marker was left behind');
  });

  it('does not try again what ended the process twice', async () => {
    const devices: DeviceName[] = ['cuda', 'webgpu', 'dml', 'coreml'];
    const failed = (times: number) => {
      for (const device of devices) {
        writeFileSync(join(cacheFolder, `probing-${device}`), String(times));
      }
    };
    failed(2);
    const { report } = await choose('auto', largeModel);
    strictEqual(report.device, 'cpu');
    for (const { reason } of report.rejected) match(reason, /ended the engine process 2 times/);

    failed(1);
    const again = await choose('auto', largeModel);
    for (const { reason } of again.report.rejected) ok(!/ended the engine/.test(reason), reason);
    for (const device of devices) rmSync(join(cacheFolder, `probing-${device}`), { force: true });
  });

  it('goes on to the next device when one is too small for the model', async () => {
    const tried: DeviceName[] = [];
    const { report } = await choose('auto', largeModel, async (device) => {
      tried.push(device);
      if (device !== 'cpu') throw new AvisError('outOfMemory', 'Too small.');
      return device;
    });
    strictEqual(report.device, 'cpu');
    strictEqual(tried.at(-1), 'cpu');
  });

  it('refuses a device that is not there when it is asked for by name', async () => {
    const missing = process.platform === 'win32' ? 'coreml' : 'dml';
    await rejects(choose(missing, largeModel), {
      code: 'device',
      message: new RegExp(`^${missing} isn't available on ${process.platform}`),
    });
  });

  it('passes on what is wrong with the model', async () => {
    await rejects(choose('auto', 1000, breakDown), { code: 'badModel', message: 'Broken.' });
  });
});

function breakDown(): Promise<string> {
  return Promise.reject(new AvisError('badModel', 'Broken.'));
}
