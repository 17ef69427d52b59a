import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { AvisError } from '../shared/errors';
import { type ModelProto, ModelProtoSchema, type NodeProto } from './onnxSchema';

/** ONNX's tensor type and attribute types, as numbered in onnx.proto. */
const floatElement = 1;
const attributeType = { int: 2, ints: 7 } as const;

/** One node as the key tap sees it. Optional inputs that are left out are empty strings. */
export interface GraphNode {
  opType: string;
  /** '' is ONNX's own operator set. */
  domain: string;
  inputs: readonly string[];
  outputs: readonly string[];
  int(name: string): number | undefined;
  ints(name: string): number[] | undefined;
  text(name: string): string | undefined;
}

/** A node to be added. */
export interface NewNode {
  opType: string;
  inputs: string[];
  output: string;
  attributes?: Record<string, number | number[]>;
}

/** The oldest operator set that an addition can be made for: its Constant takes plain integers. */
export const oldestOpset = 12;

/** The top-level graph of an ONNX file; nodes are in the file's (topological) order. */
export class OnnxGraph {
  readonly nodes: readonly GraphNode[];
  /** Names of the graph's outputs. */
  readonly outputs: readonly string[];
  /** Version of ONNX's own operator set. */
  readonly opset: number;
  private readonly producers = new Map<string, GraphNode>();
  private readonly consumers = new Map<string, GraphNode[]>();

  private constructor(model: ModelProto) {
    this.nodes = (model.graph?.node ?? []).map(graphNode);
    this.outputs = (model.graph?.output ?? []).map(({ name }) => name);
    this.opset = Number(model.opsetImport.find(({ domain }) => domain === '')?.version ?? 0);
    for (const node of this.nodes) {
      for (const output of node.outputs) this.producers.set(output, node);
      for (const input of node.inputs) {
        const users = this.consumers.get(input);
        if (users) users.push(node);
        else this.consumers.set(input, [node]);
      }
    }
  }

  /** @throws {AvisError} 'badModel' naming `label` when the bytes are not an ONNX file. */
  static read(bytes: Uint8Array, label: string): OnnxGraph {
    try {
      return new OnnxGraph(fromBinary(ModelProtoSchema, bytes, { readUnknownFields: false }));
    } catch (cause) {
      throw new AvisError(
        'badModel',
        `${label} is cut off or not an ONNX file. Get the checkpoint again.`,
        { cause },
      );
    }
  }

  producerOf(tensor: string): GraphNode | undefined {
    return this.producers.get(tensor);
  }

  consumersOf(tensor: string): readonly GraphNode[] {
    return this.consumers.get(tensor) ?? [];
  }
}

/**
 * What to append to an ONNX file so that the graph gains these nodes and a float32 output. Protobuf
 * readers merge a message that occurs twice, so that the file itself stays as it is, byte for byte:
 * unknown fields, weights and all.
 */
export function graphAddition(nodes: readonly NewNode[], output: string): Uint8Array {
  return toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, {
      graph: {
        node: nodes.map(({ opType, inputs, output, attributes = {} }) => ({
          opType,
          input: inputs,
          output: [output],
          name: `${output}/${opType}`,
          attribute: Object.entries(attributes).map(([name, value]) =>
            typeof value === 'number'
              ? { name, type: attributeType.int, i: BigInt(value) }
              : { name, type: attributeType.ints, ints: value.map(BigInt) },
          ),
        })),
        output: [{ name: output, type: { tensorType: { elemType: floatElement } } }],
      },
    }),
  );
}

function graphNode(node: NodeProto): GraphNode {
  const attribute = (name: string) => node.attribute.find((a) => a.name === name);
  return {
    opType: node.opType,
    domain: node.domain === 'ai.onnx' ? '' : node.domain,
    inputs: node.input,
    outputs: node.output,
    int: (name) => {
      const found = attribute(name);
      return found && Number(found.i);
    },
    ints: (name) => attribute(name)?.ints.map(Number),
    text: (name) => {
      const found = attribute(name);
      return found && Buffer.from(found.s).toString();
    },
  };
}
