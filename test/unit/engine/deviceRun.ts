/**
 * Runs one prompt on the device of the first argument and prints what came out. For a process of its
 * own, whose environment may name a software Vulkan.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeImage } from '../../../src/engine/image';
import { loadModel } from '../../../src/engine/model';
import { buildPrompt, prunePrompt } from '../../../src/engine/prompt';
import type { DeviceName } from '../../../src/shared/types';
import { fixtureImage } from './reference';

export interface DeviceRun {
  device: DeviceName;
  /** Where the prompt's keys and values are. */
  cacheLocation: string;
  features: number[];
  scores: number[];
  /** After the prefill, after two steps of three rows, and after a step of the two rows left. */
  logits: number[][];
}

const [folder = '', device = 'cpu'] = process.argv.slice(2);
const cacheFolder = mkdtempSync(join(tmpdir(), 'avis-device-'));
try {
  const model = await loadModel(
    { folder, device: device as DeviceName, dtype: 'auto', cacheFolder },
    () => {},
  );
  const { checkpoint, family, decoder } = model;
  const { name, bytes } = fixtureImage('dot');
  const image = family.prepareImage(await decodeImage(bytes, name));
  const { visual } = await model.vision.encode(image);
  const prompt = buildPrompt(checkpoint, family, [image], 'What is it?', '');
  const embeddings = await decoder.embedTokens(prompt.ids);
  const pruned = prunePrompt(prompt, embeddings, visual.features, [0, 2, 5]);
  const { next } = prompt.positions;
  const prefill = await decoder.prefill(pruned.embeddings, pruned.positions, next, undefined, 20);
  const rows = await decoder.startRows(prefill, 3);
  const logits = [[...prefill.logits]];
  await rows.step([5, 6, 7]);
  logits.push([...(await rows.step([8, 9, 10]))]);
  await rows.keep([0, 2]);
  logits.push([...(await rows.step([11, 12]))]);
  const result: DeviceRun = {
    device: model.info.device.device,
    cacheLocation: prefill.state.tensors[0]!.location,
    features: [...visual.features],
    scores: [...visual.scores],
    logits,
  };
  console.log(JSON.stringify(result));
  rows.dispose();
  await model.release();
} finally {
  rmSync(cacheFolder, { recursive: true });
}
