import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { LoadModelProgress } from '../shared/engineProtocol';
import { AvisError } from '../shared/errors';
import type { CostModel, DeviceName, DeviceSetting, ModelInfo } from '../shared/types';
import { throwIfAborted } from './abort';
import { tapAppended } from './appendedTap';
import { answerFiles, type Checkpoint, readCheckpoint } from './checkpoint';
import { Decoder } from './decoder';
import { sessionOptions, withDevice } from './device';
import type { Family } from './families/family';
import { createFamily } from './families/registry';
import { hashFiles } from './fileHashes';
import { findGraphs, type GraphFile, type GraphName, isQuantized } from './graphFiles';
import { type StateSpec, stateSpecs } from './kvCache';
import { tapVisionKeys } from './keyTap';
import { requireMemory } from './memory';
import { DifficultyPredictor } from './predictor';
import { buildPrompt } from './prompt';
import { GraphSession } from './session';
import { rowGatherGraph } from './smallGraphs';
import { elementBytes } from './tensors';
import { type KeySource, readyKeys, tappedKeys, VisionEncoder } from './vision';

export interface LoadOptions {
  /** Absolute path of the checkpoint folder. */
  folder: string;
  device: DeviceSetting;
  /** Preferred dtype variant; 'auto' chooses by device and what is present. */
  dtype: string;
  /** Where edited graphs and file hashes are kept. */
  cacheFolder: string;
}

/** A checkpoint with its sessions, ready to answer. */
export interface Model {
  checkpoint: Checkpoint;
  family: Family;
  vision: VisionEncoder;
  decoder: Decoder;
  predictor: DifficultyPredictor | null;
  info: ModelInfo;
  release(): Promise<void>;
}

interface Sessions {
  graphs: Record<GraphName, GraphFile>;
  vision: VisionEncoder;
  /** That there are no vision keys, and why. */
  noKeys: string | null;
  decoder: Decoder;
  cost: CostModel;
  open: GraphSession[];
}

/** @throws {AvisError} 'badModel', 'badInput' (dtype), 'device', 'outOfMemory' or 'canceled'. */
export async function loadModel(
  options: LoadOptions,
  onProgress: (progress: LoadModelProgress) => void,
  signal?: AbortSignal,
): Promise<Model> {
  const started = performance.now();
  const stage = (message: string) => {
    throwIfAborted(signal);
    onProgress({ type: 'loadStage', message });
  };
  stage('Reading the checkpoint');
  const checkpoint = await readCheckpoint(options.folder);
  const family = createFamily(checkpoint);
  const { result: sessions, report } = await withDevice(
    {
      setting: options.device,
      parameters: family.parameters,
      cacheFolder: options.cacheFolder,
      onProbe: (device) => stage(`Probing ${device}`),
    },
    (device) => openSessions(checkpoint, family, options, device, stage),
  );
  const { graphs, vision, noKeys, decoder, cost, open } = sessions;
  try {
    checkTogether(checkpoint, family, vision);
    const predictor = checkpoint.predictorPath
      ? await GraphSession.create(checkpoint.predictorPath, 'The difficulty predictor', cpuOptions)
      : null;
    if (predictor) open.push(predictor);
    stage('Identifying the files');
    const files = await answerFiles(checkpoint.folder, graphs);
    const fileHashes = await hashFiles(checkpoint.folder, files, options.cacheFolder, signal);
    const dtypes = Object.fromEntries(
      Object.entries(graphs).map(([name, { dtype }]) => [name, dtype]),
    );
    return {
      checkpoint,
      family,
      vision,
      decoder,
      predictor: predictor && new DifficultyPredictor(predictor),
      info: {
        name: checkpoint.name,
        folder: checkpoint.folder,
        family: checkpoint.modelType,
        parameters: family.parameters,
        dtypes,
        fileHashes,
        scoreSource: vision.scoreSource,
        warnings: warningsOf(noKeys, graphs, decoder, predictor !== null),
        policy: checkpoint.policy?.settings ?? null,
        hasPredictor: predictor !== null,
        cost,
        device: report,
        loadMs: performance.now() - started,
      },
      release: () => releaseAll(open),
    };
  } catch (error) {
    await releaseAll(open);
    throw error;
  }
}

/** onnxruntime's session option: where a graph that was moved finds its external data. */
const externalDataFolderKey = 'session.model_external_initializers_file_folder_path';
const cpuOptions = sessionOptions('cpu');
/**
 * A memory pattern is a second block of all intermediate results, made when a shape comes again: twice
 * the memory for an image's tiles, and nothing gained.
 */
const patternless = { enableMemPattern: false };
/**
 * Below, handing the small products of a step to a second thread and waiting for it takes as long as
 * computing them, and many times longer while the machine is busy.
 */
const oneThreadParameters = 20_000_000;

async function openSessions(
  checkpoint: Checkpoint,
  family: Family,
  { dtype, cacheFolder }: LoadOptions,
  device: DeviceName,
  stage: (message: string) => void,
): Promise<Sessions> {
  const graphs = await findGraphs(checkpoint.folder, dtype, device);
  const graphBytes = Object.values(graphs).reduce((sum, { bytes }) => sum + bytes, 0);
  requireMemory(checkpoint.name, graphBytes, family);
  const open: GraphSession[] = [];
  const openGraph = async (source: string | Uint8Array, label: string, options: object) => {
    const session = await GraphSession.create(
      source,
      label,
      { ...sessionOptions(device), ...patternless, ...options },
      device,
    );
    open.push(session);
    return session;
  };
  const labelOf = (name: GraphName) => graphs[name].files[0]!;
  try {
    stage('Finding the vision keys');
    const { path } = graphs.vision_encoder;
    const tapped = await tapVisionKeys(path, cacheFolder, readyKeys.output);
    stage('Loading the vision encoder');
    const { keySource, noKeys, visionGraph } = await openVision(tapped, family, (edited, options) =>
      openGraph(edited ?? path, labelOf('vision_encoder'), options),
    );
    stage('Loading the token embeddings');
    const embed = await openGraph(graphs.embed_tokens.path, labelOf('embed_tokens'), {});
    stage('Loading the language model');
    const onDevice = device === 'webgpu';
    const decoderPath = graphs.decoder_model_merged.path;
    const edited = device === 'cpu' ? await tapAppended(decoderPath) : null;
    const decoderGraph = await openGraph(edited ?? decoderPath, labelOf('decoder_model_merged'), {
      ...(edited ? { extra: { [externalDataFolderKey]: dirname(decoderPath) } } : {}),
      ...(onDevice ? { preferredOutputLocation: presentOnDevice(family.cost.layers) } : {}),
      ...(family.parameters < oneThreadParameters ? { intraOpNumThreads: 1 } : {}),
    });
    const specs = stateSpecs(decoderGraph);
    checkDecoder(checkpoint, family, decoderGraph, specs);
    const rowGather = onDevice
      ? await openGraph(rowGatherGraph(specs), 'The row gatherer', {
          preferredOutputLocation: 'gpu-buffer',
        })
      : null;
    const decoder = new Decoder(decoderGraph, embed, family.cost.hiddenSize, rowGather);
    await decoder.probe().catch((error: unknown) => {
      if (device === 'cpu') throw error;
      throw new AvisError('device', `${device} fails on this model: ${messageOf(error)}`, {
        cause: error,
      });
    });
    const kvElementBytes = elementBytes(specs[0]?.type ?? 'float32');
    return {
      graphs,
      vision: new VisionEncoder(visionGraph, keySource, family.vision),
      noKeys,
      decoder,
      cost: { ...family.cost, kvElementBytes },
      open,
    };
  } catch (error) {
    await releaseAll(open);
    throw error;
  }
}

/**
 * @param tapped the graph with its keys, why there are none, or null where it gives them itself.
 * @param openGraph the user's own graph, unless it is given an edited one.
 */
async function openVision(
  tapped: Awaited<ReturnType<typeof tapVisionKeys>>,
  family: Family,
  openGraph: (edited: string | null, options: object) => Promise<GraphSession>,
): Promise<{ visionGraph: GraphSession; keySource: KeySource | null; noKeys: string | null }> {
  const openOwn = () => openGraph(null, {});
  if (tapped === null) {
    return { visionGraph: await openOwn(), keySource: readyKeys, noKeys: null };
  }
  if ('reason' in tapped) {
    const noKeys = `No vision keys were found: ${tapped.reason}`;
    return { visionGraph: await openOwn(), keySource: null, noKeys };
  }
  try {
    const options = { extra: { [externalDataFolderKey]: tapped.externalDataFolder } };
    const visionGraph = await openGraph(tapped.graphPath, options);
    return { visionGraph, keySource: tappedKeys(tapped, family), noKeys: null };
  } catch (error) {
    if (!(error instanceof AvisError) || error.code !== 'badModel') throw error;
    const visionGraph = await openOwn(); // what is wrong with the user's own graph is said here
    await rm(tapped.graphPath, { force: true }); // made anew next time, should the copy be damaged
    const reason = error.message.replace(/\.$/, '');
    const noKeys = `The vision keys can't be had: with them among its outputs, ${reason}`;
    return { visionGraph, keySource: null, noKeys };
  }
}

/** onnxruntime wants the names before it knows the graph; all exports name their caches like this. */
function presentOnDevice(layers: number): Record<string, 'gpu-buffer'> {
  const names = Array.from({ length: layers }, (_, i) => [
    `present.${i}.key`,
    `present.${i}.value`,
  ]);
  return Object.fromEntries(names.flat().map((name) => [name, 'gpu-buffer']));
}

/**
 * Takes a small blank image and a question as far as the graphs' doors.
 * @throws {AvisError} 'badModel' where the vision graph, tokenizer or chat template is another model's.
 */
function checkTogether(checkpoint: Checkpoint, family: Family, vision: VisionEncoder): void {
  const { mean = null } = checkpoint.policy?.familiarity ?? {};
  if (mean && mean.length !== family.cost.hiddenSize) {
    throw new AvisError(
      'badModel',
      `familiarity in the checkpoint's avis/policy.json has ${mean.length} values; the visual tokens of this model have ${family.cost.hiddenSize}. The file belongs to another model.`,
    );
  }
  const [width, height] = [128, 8]; // wide and low: few tiles where images are tiled
  try {
    const blank = family.prepareImage({ width, height, data: new Uint8Array(width * height * 3) });
    vision.check(blank);
    buildPrompt(checkpoint, family, [blank], '?', '');
  } catch (cause) {
    if (cause instanceof AvisError) throw cause;
    // Sizes that no model has (zero, fractions) end in errors of every kind.
    throw new AvisError(
      'badModel',
      `config.json and preprocessor_config.json of ${checkpoint.name} give sizes that no image can be cut to. Get the files again.`,
      { cause },
    );
  }
}

/** @throws {AvisError} 'badModel' where the decoder is that of another model. */
function checkDecoder(
  { modelType }: Checkpoint,
  family: Family,
  graph: GraphSession,
  specs: readonly StateSpec[],
): void {
  const deepStack = [...graph.inputs.keys()].find((name) => /deepstack/i.test(name));
  if (deepStack !== undefined) {
    throw new AvisError(
      'badModel',
      `${graph.label} takes DeepStack planes (${deepStack}), which are not supported: use an export without them, such as onnx-community/Qwen3-VL-2B-Instruct-ONNX.`,
    );
  }
  const fail = (what: string) =>
    new AvisError('badModel', `${graph.label} ${what}. The files belong to different models.`);
  const { layers, kvHeads, headDim, hiddenSize } = family.cost;
  const caches = specs.filter(({ grows }) => grows);
  const [first] = caches;
  if (
    !first ||
    caches.length > 2 * layers ||
    !caches.every(({ shape }) => shape[0] === kvHeads && shape[2] === headDim)
  ) {
    throw fail(
      `has ${caches.length / 2} layers with ${first?.shape[0] ?? 0} KV heads of ${first?.shape[2] ?? 0} values; config.json says ${layers} with ${kvHeads} of ${headDim}`,
    );
  }
  const width = graph.inputs.get('inputs_embeds')?.shape.at(-1);
  if (typeof width === 'number' && width !== hiddenSize) {
    throw fail(`takes embeddings of ${width} values; config.json says ${hiddenSize}`);
  }
  const positions = graph.inputs.get('position_ids');
  const axes = positions?.shape.length === 3 ? 3 : 1;
  const wanted = family.positions([], []).axes.length;
  if (positions && axes !== wanted) {
    throw fail(`takes ${axes} position for each token; a ${modelType} model has ${wanted}`);
  }
}

function warningsOf(
  noKeys: string | null,
  graphs: Record<GraphName, GraphFile>,
  decoder: Decoder,
  hasPredictor: boolean,
): string[] {
  const warnings: string[] = [];
  const { dtype } = graphs.vision_encoder;
  if (isQuantized(dtype)) {
    warnings.push(
      `The vision encoder is ${dtype}: quantized weights distort the keys, so the scores may be off. An fp32 or fp16 vision encoder is better.`,
    );
  }
  if (noKeys !== null) {
    warnings.push(
      `${noKeys}. Tokens are scored by KeyDiff on the merged embeddings instead of KDV.`,
    );
  }
  if (!decoder.takesPositions) {
    warnings.push(
      'The language model takes no position_ids: after pruning, the kept visual tokens move together instead of keeping their places, which costs accuracy.',
    );
  }
  if (!hasPredictor) {
    warnings.push(
      'This checkpoint has no difficulty predictor: adaptive K runs rollouts until the Beta rule is settled.',
    );
  }
  return warnings;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function releaseAll(sessions: GraphSession[]): Promise<void> {
  for (const session of sessions.splice(0)) await session.release();
}
