/** The variants of a checkpoint's graphs, and how the public exports' file names tell them. */
export const dtypeSuffixes = {
  fp32: '',
  fp16: '_fp16',
  q4: '_q4',
  q4f16: '_q4f16',
  int8: '_int8',
  uint8: '_uint8',
  quantized: '_quantized',
  bnb4: '_bnb4',
} as const;

export type Dtype = keyof typeof dtypeSuffixes;

/** The file of a graph's variant in the checkpoint's folder onnx/. */
export function graphFileName(graph: string, dtype: Dtype): string {
  return `${graph}${dtypeSuffixes[dtype]}.onnx`;
}
