/**
 * Two graphs that are too small to ship as files, written as ONNX protobuf (onnx.proto3) by hand: one
 * gathers rows of the KV cache where JavaScript can't touch it, one tests a device's arithmetic.
 */
import type { Tensor } from 'onnxruntime-node';
import type { StateSpec } from './kvCache';

const elementTypes: Partial<Record<Tensor.Type, number>> = { float32: 1, int64: 7, float16: 10 };
const irVersion = 8;
const opsetVersion = 17;

interface ValueSpec {
  name: string;
  type: Tensor.Type;
  rank: number;
}

/**
 * For each state tensor `x`: `rows.x` = x[rows] along axis 0. Turns one prompt's cache into K rows,
 * and drops the rows of finished rollouts, on the device.
 */
export function rowGatherGraph(states: readonly StateSpec[]): Uint8Array {
  return model(
    states.map(({ input }) => node('Gather', [input, 'rows'], `rows.${input}`)),
    [...states.map((state) => stateValue(state, '')), { name: 'rows', type: 'int64', rank: 1 }],
    states.map((state) => stateValue(state, 'rows.')),
  );
}

/** y = softmax(a·b) · b, which needs a matrix product, a reduction and an exponential to be right. */
export function selfTestGraph(): Uint8Array {
  return model(
    [
      node('MatMul', ['a', 'b'], 'ab'),
      node('Softmax', ['ab'], 'weights'),
      node('MatMul', ['weights', 'b'], 'y'),
    ],
    [matrix('a'), matrix('b')],
    [matrix('y')],
  );
}

function stateValue({ input, type, shape }: StateSpec, prefix: string): ValueSpec {
  return { name: prefix + input, type, rank: shape.length + 1 };
}

function matrix(name: string): ValueSpec {
  return { name, type: 'float32', rank: 2 };
}

function model(nodes: number[][], inputs: ValueSpec[], outputs: ValueSpec[]): Uint8Array {
  const graph = [
    ...nodes.flatMap((each) => message(1, each)),
    ...text(2, 'graph'),
    ...inputs.flatMap((each) => message(11, valueInfo(each))),
    ...outputs.flatMap((each) => message(12, valueInfo(each))),
  ];
  return Uint8Array.from([
    ...integer(1, irVersion),
    ...message(7, graph),
    ...message(8, integer(2, opsetVersion)),
  ]);
}

function node(operator: string, inputs: string[], output: string): number[] {
  return [...inputs.flatMap((name) => text(1, name)), ...text(2, output), ...text(4, operator)];
}

/** Every axis is open. */
function valueInfo({ name, type, rank }: ValueSpec): number[] {
  const dims = Array.from({ length: rank }, (_, i) => message(1, text(2, `${name}.${i}`))).flat();
  const tensor = [...integer(1, elementTypes[type]!), ...message(2, dims)];
  return [...text(1, name), ...message(2, message(1, tensor))];
}

function integer(field: number, value: number): number[] {
  return [...varint(field << 3), ...varint(value)];
}

function message(field: number, bytes: number[]): number[] {
  return [...varint((field << 3) | 2), ...varint(bytes.length), ...bytes];
}

function text(field: number, value: string): number[] {
  return message(field, [...new TextEncoder().encode(value)]);
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (; value > 0x7f; value >>>= 7) bytes.push((value & 0x7f) | 0x80);
  return [...bytes, value];
}
