import { extractAnswer, isVoteSettled } from '../avis/vote';
import type { AskSettings, RolloutResult } from '../shared/types';
import { throwIfAborted } from './abort';
import type { Decoder, Prefill } from './decoder';
import { greedySampler, nucleusSampler, penalizeRepetition, type Sampler } from './sampler';
import { type TextCodec, TextStream } from './textCodec';

/** Text goes out at most this often, so that messages don't cost more than decoding. */
const textIntervalMs = 40;

export interface RolloutJob {
  decoder: Decoder;
  codec: TextCodec;
  prefill: Prefill;
  /** For the repetition penalty. */
  promptIds: readonly number[];
  repetitionPenalty: number;
  endTokenIds: readonly number[];
  settings: Pick<AskSettings, 'temperature' | 'topP' | 'seed' | 'maxNewTokens'>;
  /** Greedy decoding, for K = 1. */
  greedy: boolean;
  /** Stop the running rows once no outcome of theirs could change the vote among all of them. */
  earlyStop: boolean;
  onText(index: number, text: string, tokens: number): void;
  onDone(rollout: RolloutResult): void;
}

interface Row {
  index: number;
  sample: Sampler;
  stream: TextStream;
  seen: Set<number>;
}

/**
 * Decodes rollouts `done.length` … `count − 1` as one batch from one prefill. Finished rows leave the
 * batch. What a rollout says depends on its index and the seed alone.
 * @param done rollouts of an earlier batch for the same vote
 * @returns all rollouts by index
 * @throws {AvisError} 'canceled' at the next step after an abort; 'badModel' for NaN logits.
 */
export async function runRollouts(
  job: RolloutJob,
  done: readonly RolloutResult[],
  count: number,
  signal?: AbortSignal,
): Promise<RolloutResult[]> {
  const { decoder, settings } = job;
  const started = performance.now();
  const results: (RolloutResult | undefined)[] = Array.from({ length: count }, (_, i) => done[i]);
  let running = Array.from({ length: count - done.length }, (_, i) =>
    startRow(job, done.length + i),
  );
  let lastText = started;

  const finish = (row: Row, stopped: RolloutResult['stopped']) => {
    const text = row.stream.finish();
    const result: RolloutResult = {
      index: row.index,
      text,
      // A stopped rollout didn't get to vote, even if it had an answer on its tongue.
      answer: stopped === 'earlyStop' ? null : extractAnswer(text),
      tokens: row.stream.ids.length,
      elapsedMs: performance.now() - started,
      stopped,
    };
    results[row.index] = result;
    job.onDone(result);
  };

  /** Takes one sampled token for each running row; true while there is more to decode. */
  const accept = (logits: Float32Array, rows: Row[]): Row[] => {
    const vocabulary = logits.length / rows.length;
    return rows.filter((row, i) => {
      const own = logits.subarray(i * vocabulary, (i + 1) * vocabulary);
      if (job.repetitionPenalty !== 1) penalizeRepetition(own, row.seen, job.repetitionPenalty);
      const id = row.sample(own);
      row.seen.add(id);
      row.stream.push(id);
      if (job.endTokenIds.includes(id)) finish(row, 'endOfTurn');
      else if (row.stream.ids.length >= settings.maxNewTokens) finish(row, 'maxNewTokens');
      else return true;
      return false;
    });
  };

  const vocabulary = job.prefill.logits.length;
  const firstLogits = new Float32Array(running.length * vocabulary);
  running.forEach((_, i) => firstLogits.set(job.prefill.logits, i * vocabulary));
  running = accept(firstLogits, running);
  if (running.length === 0) return results as RolloutResult[];

  let kept = running.map((row) => row.index - done.length);
  const batch = await decoder.startRows(job.prefill, count - done.length);
  try {
    for (;;) {
      throwIfAborted(signal); // each run lets messages and timers in before it begins
      if (job.earlyStop && isVoteSettled(results.map((result) => result && result.answer))) break;
      if (running.length === 0) break;
      await batch.keep(kept);
      const before = running;
      const logits = await batch.step(running.map((row) => row.stream.ids.at(-1)!));
      running = accept(logits, running);
      kept = running.map((row) => before.indexOf(row));
      if (performance.now() - lastText >= textIntervalMs) {
        lastText = performance.now();
        for (const row of running) job.onText(row.index, row.stream.text, row.stream.ids.length);
      }
    }
    for (const row of running) finish(row, 'earlyStop');
  } finally {
    batch.dispose();
  }
  return results as RolloutResult[];
}

function startRow(job: RolloutJob, index: number): Row {
  const { temperature, topP, seed } = job.settings;
  return {
    index,
    sample: job.greedy
      ? greedySampler()
      : nucleusSampler({ temperature, topP, seed, rollout: index }),
    stream: new TextStream(job.codec),
    seen: new Set(job.promptIds),
  };
}
