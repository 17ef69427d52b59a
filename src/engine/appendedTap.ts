import { readFile, stat } from 'node:fs/promises';
import { appendedOutput } from './kvCache';
import { graphAddition, type NewNode, oldestOpset, OnnxGraph } from './onnxGraph';

/** Larger ones hold their weights; to read those for an edit would double what loading takes. */
const largestGraphBytes = 1 << 28;

/**
 * The decoder at `path` with one more output, `appendedOutput`, where all of its cache comes from
 * GroupQueryAttention: the last token's keys and values, which a decoding step doesn't have yet. Its
 * weights outside the graph stay where they are.
 * @returns the graph; null where there is nothing to add. A damaged file is left to onnxruntime.
 */
export async function tapAppended(path: string): Promise<Uint8Array | null> {
  const { size } = await stat(path);
  if (size > largestGraphBytes) return null;
  const bytes = await readFile(path);
  let graph: OnnxGraph;
  try {
    graph = OnnxGraph.read(bytes, path);
  } catch {
    return null;
  }
  const attentions = graph.nodes.filter(({ opType }) => opType === 'GroupQueryAttention');
  const presents = attentions.flatMap(({ outputs }) => outputs.slice(1, 3));
  const others = graph.outputs.filter((name) => name !== 'logits' && !presents.includes(name));
  const [lastToken] = attentions.map(({ inputs }) => inputs[5]);
  if (!lastToken || others.length > 0 || graph.opset < oldestOpset) return null;

  const nodes: NewNode[] = [
    { opType: 'Constant', inputs: [], output: 'appended.row', attributes: { value_int: 0 } },
    { opType: 'Gather', inputs: [lastToken, 'appended.row'], output: 'appended.place' },
    ...presents.map((present, i) => ({
      opType: 'Gather',
      inputs: [present, 'appended.place'],
      output: `appended.${i}`,
      attributes: { axis: 2 },
    })),
    {
      opType: 'Concat',
      inputs: presents.map((_, i) => `appended.${i}`),
      output: 'appended.states',
      attributes: { axis: 1 },
    },
    { opType: 'Cast', inputs: ['appended.states'], output: appendedOutput, attributes: { to: 1 } },
  ];
  return Buffer.concat([bytes, graphAddition(nodes, appendedOutput)]);
}
