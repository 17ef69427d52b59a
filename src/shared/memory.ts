/** onnxruntime lays weights out anew for its kernels; measured on int4 and int8 graphs. */
const weightFactor = 1.2;
/** Node, onnxruntime's code, the tokenizer. */
const processBytes = 200e6;
/** One question to a small model, where its configuration is not known yet. */
const usualRunBytes = 1e9;

/**
 * Bytes that the engine process takes at its peak.
 * @param graphBytes the graphs with their external data
 * @param runBytes intermediate results and KV caches of one question
 */
export function predictMemory(graphBytes: number, runBytes = usualRunBytes): number {
  return processBytes + graphBytes * weightFactor + runBytes;
}
