import { env, InferenceSession, type Tensor } from 'onnxruntime-node';
import { AvisError } from '../shared/errors';

/** As the graph declares it; a string or -1 dimension is open. */
export interface TensorSpec {
  name: string;
  type: Tensor.Type;
  shape: readonly (number | string)[];
}

env.logLevel = 'fatal'; // what goes wrong is thrown, and said once
// Its official builds report usage to their maker unless told not to before the first session.
process.env['ORT_DISABLE_TELEMETRY'] = '1';

/**
 * Threads that wait for work by spinning take the cores from the editor beside us, and from each other
 * once the machine is busy: on two busy cores a prefill took
 * five times as long with it.
 */
const spinningKey = 'session.intra_op.allow_spinning';

/**
 * A graph whose inputs are checked by name, type and shape before each run, so that a mistake is named
 * after the tensor and not after a node deep in the graph.
 */
export class GraphSession {
  readonly inputs: ReadonlyMap<string, TensorSpec>;
  readonly outputs: ReadonlyMap<string, TensorSpec>;

  private constructor(
    private readonly session: InferenceSession,
    /** For messages: the file's name, or what the graph is for. */
    readonly label: string,
    readonly device: string,
  ) {
    this.inputs = specsOf(session.inputMetadata);
    this.outputs = specsOf(session.outputMetadata);
  }

  /**
   * @param source a path (external data is found beside it) or the graph itself.
   * @throws {AvisError} 'badModel' for a damaged or foreign file, 'outOfMemory', 'device'.
   */
  static async create(
    source: string | Uint8Array,
    label: string,
    options: InferenceSession.SessionOptions,
    device = 'cpu',
  ): Promise<GraphSession> {
    const settled = {
      logSeverityLevel: 4 as const,
      ...options,
      extra: { [spinningKey]: '0', ...options.extra },
    };
    try {
      const session =
        typeof source === 'string'
          ? await InferenceSession.create(source, settled)
          : await InferenceSession.create(source, settled);
      return new GraphSession(session, label, device);
    } catch (error) {
      throw loadError(label, device, error);
    }
  }

  /**
   * @param fetches preallocated outputs, or the names wanted; all outputs by default.
   * @throws {AvisError} 'badModel' naming the tensor that doesn't fit, or when the run fails;
   * 'outOfMemory' or 'device'.
   */
  async run(
    feeds: Record<string, Tensor>,
    fetches?: string[] | Record<string, Tensor | null>,
  ): Promise<Record<string, Tensor>> {
    this.check(feeds);
    try {
      const outputs = fetches
        ? await this.session.run(feeds, fetches)
        : await this.session.run(feeds);
      return outputs as Record<string, Tensor>;
    } catch (error) {
      throw runError(this.label, this.device, error);
    }
  }

  async release(): Promise<void> {
    await this.session.release();
  }

  /** @throws {AvisError} 'badModel' naming the input that is missing or doesn't fit. */
  check(feeds: Record<string, Tensor>): void {
    for (const spec of this.inputs.values()) {
      const tensor = feeds[spec.name];
      if (!tensor) throw this.mismatch(spec, 'nothing was given');
      if (tensor.type !== spec.type) throw this.mismatch(spec, describe(tensor));
      const { dims } = tensor;
      const fits =
        dims.length === spec.shape.length &&
        spec.shape.every((size, i) => typeof size !== 'number' || size < 0 || size === dims[i]);
      if (!fits) throw this.mismatch(spec, describe(tensor));
    }
    for (const name of Object.keys(feeds)) {
      if (!this.inputs.has(name)) {
        throw new AvisError(
          'badModel',
          `${this.label} has no input named ${name}. The graph doesn't belong to this config.json.`,
        );
      }
    }
  }

  private mismatch(spec: TensorSpec, got: string): AvisError {
    const expected = `${spec.type} [${spec.shape.join(', ')}]`;
    return new AvisError(
      'badModel',
      `Input ${spec.name} of ${this.label} should be ${expected}, but ${got}. The graph doesn't belong to this config.json, or isn't laid out as expected.`,
    );
  }
}

/** @throws {AvisError} 'badModel' naming the tensor when a value is NaN or infinite. */
export function checkFinite(values: Float32Array, tensor: string, label: string): void {
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i])) {
      throw new AvisError(
        'badModel',
        `${label} gave ${values[i]} in ${tensor}. Its weights are damaged or this device computes it wrongly: try another dtype or the device cpu.`,
      );
    }
  }
}

function specsOf(
  metadata: readonly InferenceSession.ValueMetadata[],
): ReadonlyMap<string, TensorSpec> {
  const specs = new Map<string, TensorSpec>();
  for (const value of metadata) {
    if (value.isTensor) {
      specs.set(value.name, { name: value.name, type: value.type, shape: value.shape });
    }
  }
  return specs;
}

function describe(tensor: Tensor): string {
  return `${tensor.type} [${tensor.dims.join(', ')}] came`;
}

function loadError(label: string, device: string, error: unknown): AvisError {
  const reason = firstLine(error);
  const fail = (code: 'badModel' | 'outOfMemory' | 'device', message: string) =>
    new AvisError(code, message, { cause: error });
  if (isOutOfMemory(reason)) return outOfMemory(label, error);
  if (/escapes? (the )?model directory|absolute path not allowed/i.test(reason)) {
    return fail(
      'badModel',
      `${label} asks for weights outside its own folder, which is not allowed. Use a checkpoint from a source you trust; where symbolic links lead there, as in Hugging Face's cache, copy the folder with its links followed.`,
    );
  }
  if (/external data|external_data|\.onnx_data/i.test(reason)) {
    return fail(
      'badModel',
      `The weights file beside ${label} (.onnx_data) is missing or cut off: ${reason}. Get the checkpoint again.`,
    );
  }
  if (/protobuf|parse|does not have a graph/i.test(reason)) {
    return fail('badModel', `${label} is cut off or not an ONNX file. Get the checkpoint again.`);
  }
  if (/doesn't exist|No such file|NO_SUCHFILE/i.test(reason)) {
    return fail('badModel', `${label} can't be opened: ${reason}`);
  }
  if (device !== 'cpu') return fail('device', `${label} can't run on ${device}: ${reason}`);
  return fail('badModel', `${label} can't be loaded: ${reason}`);
}

function runError(label: string, device: string, error: unknown): AvisError {
  const reason = firstLine(error);
  if (isOutOfMemory(reason)) return outOfMemory(label, error);
  return device === 'cpu'
    ? new AvisError('badModel', `${label} failed while running: ${reason}`, { cause: error })
    : new AvisError('device', `${label} failed on ${device}: ${reason} Try the device cpu.`, {
        cause: error,
      });
}

function outOfMemory(label: string, error: unknown): AvisError {
  return new AvisError(
    'outOfMemory',
    `There is not enough memory for ${label}. Choose a smaller dtype (q4), a smaller image or fewer rollouts.`,
    { cause: error },
  );
}

function isOutOfMemory(reason: string): boolean {
  return /bad.?alloc|failed to allocate|out of memory|Array buffer allocation failed/i.test(reason);
}

/** onnxruntime's messages run on; the first line says what happened, without the places in its source. */
function firstLine(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const line = message.split('\n', 1)[0] ?? '';
  return line.replaceAll(/\S*\.(?:cc|h):\d+ (?:\w+ )?/g, '').slice(0, 400);
}
