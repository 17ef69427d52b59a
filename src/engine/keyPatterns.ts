import type { GraphNode, NewNode, OnnxGraph } from './onnxGraph';

/**
 * How the tapped tensor holds the keys.
 * `axes`: counted from the end; what is left over is batch and heads, in this order, or heads alone
 * where all sequences are joined into one along the tokens.
 * `byRank`: [batch, heads, tokens, headDim], [batch, tokens, heads · headDim] or
 * [tokens, heads · headDim], by the number of axes.
 */
export type KeyLayout =
  | { kind: 'axes'; tokens: number; headDim: number; joined?: boolean }
  | { kind: 'byRank'; heads: number };

/** The keys of one attention: a tensor of the graph, after some more nodes where it isn't one yet. */
export interface FoundKeys {
  tensor: string;
  nodes: NewNode[];
  layout: KeyLayout;
}

export type KeySearch = FoundKeys | { reason: string };

/** Names of what is added to a graph start like this. */
const prefix = 'avis_tap';

/** Operators between the scores and the softmax (scaling, mask, casts, shapes). */
const betweenScoresAndSoftmax = new Set(
  (
    'Add Sub Mul Div Where Cast Clip Min Max Identity Dropout Reshape Squeeze Unsqueeze Flatten ' +
    'Transpose Expand Tanh'
  ).split(' '),
);
const betweenSoftmaxAndValues = new Set(
  'Cast Identity Dropout Reshape Squeeze Unsqueeze Mul Where Transpose'.split(' '),
);

/**
 * Finds the keys of the last attention in the graph, as that attention compares them with the queries
 * (after rotary embedding). The last attention is the last node in the file's order that is a fused
 * attention, or a softmax whose result is multiplied with something.
 */
export function findLastKeys(graph: OnnxGraph): KeySearch {
  for (let i = graph.nodes.length - 1; i >= 0; i--) {
    const node = graph.nodes[i]!;
    const fused = fusedAttentions[`${node.domain}:${node.opType}`];
    if (fused) return fused(node);
    if (isSoftmax(node) && reachesProduct(graph, node.outputs[0]!)) return softmaxKeys(graph, node);
  }
  return {
    reason:
      'it has neither MatMul → Softmax → MatMul (nor Einsum) nor a fused attention (Attention, MultiHeadAttention, GroupQueryAttention) at its top level',
  };
}

function isSoftmax({ domain, opType }: GraphNode): boolean {
  return domain === '' && opType === 'Softmax';
}

function isProduct({ opType }: GraphNode): boolean {
  return ['MatMul', 'FusedMatMul', 'Einsum', 'MatMulInteger', 'Gemm'].includes(opType);
}

function reachesProduct(graph: OnnxGraph, tensor: string, depth = 6): boolean {
  return graph.consumersOf(tensor).some((node) => {
    if (isProduct(node)) return true;
    const through = betweenSoftmaxAndValues.has(node.opType) || node.opType.includes('Quantize');
    return through && depth > 0 && reachesProduct(graph, node.outputs[0]!, depth - 1);
  });
}

/**
 * Decomposed attention: from the softmax upwards to the nearest product, breadth first, so that a mask
 * or position bias that is itself a product further up isn't taken for the scores. `transposed` is true
 * while the scores stand as [keys, queries].
 */
function softmaxKeys(graph: OnnxGraph, softmax: GraphNode): KeySearch {
  const axis = softmax.int('axis') ?? -1;
  let paths = [{ tensor: softmax.inputs[0]!, transposed: axis === -2 }];
  const seen = new Set<string>();
  for (let depth = 0; depth < 16 && paths.length > 0; depth++) {
    const further: typeof paths = [];
    for (const { tensor, transposed } of paths) {
      const node = graph.producerOf(tensor);
      if (!node || seen.has(tensor)) continue;
      seen.add(tensor);
      if (isProduct(node)) return productKeys(graph, node, transposed);
      if (!betweenScoresAndSoftmax.has(node.opType)) continue;
      let turned = transposed;
      if (node.opType === 'Transpose') {
        const fromEnd = lastAxisSource(node);
        if (fromEnd === null) {
          return {
            reason:
              'its attention scores are transposed so that the keys are not among the last two axes',
          };
        }
        turned = transposed !== (fromEnd === -2);
      }
      const data = ['Reshape', 'Expand', 'Clip', 'Unsqueeze', 'Squeeze'].includes(node.opType)
        ? node.inputs.slice(0, 1)
        : node.inputs;
      further.push(...data.map((input) => ({ tensor: input, transposed: turned })));
    }
    paths = further;
  }
  return {
    reason: 'above the last Softmax there is no MatMul or Einsum of queries and keys',
  };
}

/** Where a Transpose takes its last axis from, −1 or −2; null when from elsewhere. */
function lastAxisSource(transpose: GraphNode): -1 | -2 | null {
  const perm = transpose.ints('perm');
  if (!perm) return -2; // the default reverses all axes; only right for two, as scores of one head are
  const last = perm.at(-1)! - perm.length;
  return last === -1 || last === -2 ? last : null;
}

/** The key operand of scores = queries · keysᵀ. */
function productKeys(graph: OnnxGraph, node: GraphNode, transposed: boolean): KeySearch {
  if (node.opType === 'Einsum') return einsumKeys(node, transposed);
  if (node.int('transBatchA') || node.int('transBatchB')) {
    return { reason: 'its attention is a FusedMatMul with transposed batch axes' };
  }
  // scores [queries, keys]: keys are the columns of the second operand; of the first, if transposed.
  const operand = node.inputs[transposed ? 0 : 1]!;
  const turned = Boolean(node.int(transposed ? 'transA' : 'transB'));
  const tokensLast = transposed === turned;
  const axes = tokensLast ? { tokens: -1, headDim: -2 } : { tokens: -2, headDim: -1 };
  return { tensor: unquantized(graph, operand), nodes: [], layout: { kind: 'axes', ...axes } };
}

/** The float tensor behind a dynamically quantized operand. */
function unquantized(graph: OnnxGraph, tensor: string): string {
  const producer = graph.producerOf(tensor);
  return producer?.opType === 'DynamicQuantizeLinear' ? producer.inputs[0]! : tensor;
}

function einsumKeys(node: GraphNode, transposed: boolean): KeySearch {
  const equation = (node.text('equation') ?? '').replaceAll(' ', '');
  const match = /^([a-zA-Z]+),([a-zA-Z]+)->([a-zA-Z]+)$/.exec(equation);
  const [, first = '', second = '', output = ''] = match ?? [];
  const keyLabel = output.at(transposed ? -2 : -1) ?? '';
  const [labels, other, tensor] = first.includes(keyLabel)
    ? [first, second, node.inputs[0]!]
    : [second, first, node.inputs[1]!];
  const contracted = [...labels].filter(
    (label) => other.includes(label) && !output.includes(label),
  );
  if (!match || !labels.includes(keyLabel) || other.includes(keyLabel) || contracted.length !== 1) {
    return { reason: `its attention is an Einsum of an unknown form (${equation})` };
  }
  return {
    tensor,
    nodes: [],
    layout: {
      kind: 'axes',
      tokens: labels.indexOf(keyLabel) - labels.length,
      headDim: labels.indexOf(contracted[0]!) - labels.length,
    },
  };
}

const fusedAttentions: Record<string, (node: GraphNode) => KeySearch> = {
  ':Attention': (node) => ({
    tensor: node.inputs[1]!,
    nodes: [],
    layout: { kind: 'byRank', heads: node.int('kv_num_heads') ?? 0 },
  }),
  'com.microsoft:MultiHeadAttention': multiHeadAttentionKeys,
  'com.microsoft:GroupQueryAttention': (node) => {
    if (!node.inputs[1]) return { reason: 'its GroupQueryAttention takes packed queries and keys' };
    if (node.int('do_rotary')) {
      return { reason: 'its GroupQueryAttention applies the rotary embedding inside' };
    }
    const heads = node.int('kv_num_heads') ?? 0;
    return { tensor: node.inputs[1], nodes: [], layout: { kind: 'byRank', heads } };
  },
  'com.microsoft:Attention': packedAttentionKeys,
  'com.microsoft:QAttention': () => ({ reason: 'its QAttention keeps the keys inside' }),
  'com.microsoft:PackedMultiHeadAttention': multiHeadAttentionKeys,
};

/**
 * com.microsoft.MultiHeadAttention: query, key, value, bias, …; packed QKV [B,S,H,3,D], packed KV
 * [B,S,H,2,D]. PackedMultiHeadAttention has tokens [T] in place of [B,S].
 */
function multiHeadAttentionKeys(node: GraphNode): KeySearch {
  const [query, key, value, bias] = node.inputs;
  const joined = node.opType === 'PackedMultiHeadAttention';
  if (!joined && node.inputs[6]) return { reason: 'its MultiHeadAttention has past keys' };
  if (!key || !value) {
    const picked = `${prefix}/key`;
    return {
      tensor: picked,
      nodes: [
        constant('part', [key ? 0 : 1]),
        add('Gather', [key || query!, `${prefix}/part`], 'parts', { axis: -2 }),
        constant('part_axis', [-2]),
        add('Squeeze', [`${prefix}/parts`, `${prefix}/part_axis`], 'key'),
      ],
      layout: { kind: 'axes', tokens: -3, headDim: -1, joined },
    };
  }
  const layout: KeyLayout = { kind: 'byRank', heads: node.int('num_heads') ?? 0 };
  if (!bias) return { tensor: key, nodes: [], layout };
  return {
    tensor: `${prefix}/key`,
    nodes: [
      ...lastDimension(key, 'from'),
      add('Add', [`${prefix}/from`, `${prefix}/from`], 'to'),
      constant('bias_axis', [0]),
      add('Slice', [bias, `${prefix}/from`, `${prefix}/to`, `${prefix}/bias_axis`], 'bias'),
      add('Add', [key, `${prefix}/bias`], 'key'),
    ],
    layout,
  };
}

/** com.microsoft.Attention projects inside: keys = input · weights[:, key part] + bias[key part]. */
function packedAttentionKeys(node: GraphNode): KeySearch {
  const [input, weights, bias] = node.inputs;
  if (node.int('do_rotary')) return { reason: 'its Attention applies the rotary embedding inside' };
  if (node.inputs[4]) return { reason: 'its Attention has past keys' };
  const sizes = node.ints('qkv_hidden_sizes');
  const bounds =
    sizes && sizes.length > 0
      ? [constant('from', [sizes[0]!]), constant('to', [sizes[0]! + sizes[1]!])]
      : [
          ...lastDimension(weights!, 'all'),
          constant('three', [3]),
          add('Div', [`${prefix}/all`, `${prefix}/three`], 'from'),
          add('Add', [`${prefix}/from`, `${prefix}/from`], 'to'),
        ];
  const slice = (tensor: string, output: string) =>
    add('Slice', [tensor, `${prefix}/from`, `${prefix}/to`, `${prefix}/last`], output);
  const nodes = [
    ...bounds,
    constant('last', [-1]),
    slice(weights!, 'weights'),
    add('MatMul', [input!, `${prefix}/weights`], bias ? 'projected' : 'key'),
    ...(bias
      ? [slice(bias, 'bias'), add('Add', [`${prefix}/projected`, `${prefix}/bias`], 'key')]
      : []),
  ];
  const layout: KeyLayout = { kind: 'byRank', heads: node.int('num_heads') ?? 0 };
  return { tensor: `${prefix}/key`, nodes, layout };
}

/** The size of a tensor's last axis, [1]. */
function lastDimension(tensor: string, output: string): NewNode[] {
  return [
    add('Shape', [tensor], `${output}_shape`),
    constant(`${output}_axis`, [-1]),
    add('Gather', [`${prefix}/${output}_shape`, `${prefix}/${output}_axis`], output, { axis: 0 }),
  ];
}

function constant(output: string, values: number[]): NewNode {
  return add('Constant', [], output, { value_ints: values });
}

function add(
  opType: string,
  inputs: string[],
  output: string,
  attributes?: Record<string, number | number[]>,
): NewNode {
  return { opType, inputs, output: `${prefix}/${output}`, ...(attributes && { attributes }) };
}
