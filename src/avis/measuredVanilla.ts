/** A run's compute against vanilla (ρ = 0, K = 1): estimated at first, measured once it was run. */
import type { RunRecord } from '../shared/panelProtocol';
import type { ComputeResult, StageFlops } from '../shared/types';

/** Operations that the paper counts: without the vision encoder. */
export function countedFlops(flops: StageFlops): number {
  return flops.prefill + flops.decode;
}

/** The vanilla measurement of the same question, when one was run. */
export function vanillaOf(run: RunRecord, runs: readonly RunRecord[]): RunRecord | null {
  const { question, model, settings } = run.result;
  const matches = (other: RunRecord) =>
    other.purpose === 'vanilla' &&
    other.result.question === question &&
    other.result.model.name === model.name &&
    other.result.settings.thinking === settings.thinking &&
    isAsLongAs(other, settings.maxNewTokens);
  return runs.findLast(matches) ?? null;
}

/** Whether the run would have generated the same with this limit. */
function isAsLongAs({ result }: RunRecord, maxNewTokens: number): boolean {
  if (result.settings.maxNewTokens === maxNewTokens) return true;
  return result.rollouts.every(
    ({ tokens, stopped }) => stopped === 'endOfTurn' && tokens <= maxNewTokens,
  );
}

/** A run's compute, with vanilla's estimated cost replaced by a measured one where there is one. */
export function computeWithVanilla(run: RunRecord, runs: readonly RunRecord[]): ComputeResult {
  const own = run.result.compute;
  const measured = vanillaOf(run, runs);
  if (!measured || own.vanillaSource === 'measured') return own;
  const { run: vanilla, kvBytes } = measured.result.compute;
  return againstVanilla(own, { vanilla, vanillaSource: 'measured', vanillaKvBytes: kvBytes });
}

/** The same compute against another account of vanilla. */
export function againstVanilla(
  compute: ComputeResult,
  {
    vanilla,
    vanillaSource,
    vanillaKvBytes,
  }: Pick<ComputeResult, 'vanilla' | 'vanillaSource' | 'vanillaKvBytes'>,
): ComputeResult {
  const all = (flops: StageFlops) => flops.vision + countedFlops(flops);
  return {
    ...compute,
    vanilla,
    vanillaSource,
    vanillaKvBytes,
    saved: 1 - countedFlops(compute.run) / countedFlops(vanilla),
    savedWithVision: 1 - all(compute.run) / all(vanilla),
  };
}
