import { extractAnswer, isVoteSettled } from '../avis/vote';
import type { AskSettings, RolloutResult } from '../shared/types';
import { throwIfAborted } from './abort';
import type { Decoder, Prefill } from './decoder';
import { greedySampler, nucleusSampler, penalizeRepetition, randomStream } from './sampler';
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

interface Rollout {
  index: number;
  random: () => number;
  stream: TextStream;
  seen: Set<number>;
}

/** Rollouts that have said the same so far: the decoder computes them as one row. */
type Branch = Rollout[];

/**
 * Decodes rollouts `done.length` … `count − 1` as one batch from one prefill, each beginning that several
 * share only once. Finished ones leave the batch. Each draws from its own stream of (seed, rollout), so
 * what it says doesn't depend on how many others run or when they end.
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
  const { settings } = job;
  const started = performance.now();
  const results: (RolloutResult | undefined)[] = Array.from({ length: count }, (_, i) => done[i]);
  const sample = job.greedy ? greedySampler : nucleusSampler(settings);
  let lastText = started;

  const finish = ({ index, stream }: Rollout, stopped: RolloutResult['stopped']) => {
    const text = stream.finish();
    const result: RolloutResult = {
      index,
      text,
      // A stopped rollout didn't get to vote, even if it had an answer on its tongue.
      answer: stopped === 'earlyStop' ? null : extractAnswer(text),
      tokens: stream.ids.length,
      elapsedMs: performance.now() - started,
      stopped,
    };
    results[index] = result;
    job.onDone(result);
  };

  /**
   * Takes one token for each rollout, which ends some and parts others.
   * @param logits [branches, vocabulary]; changed by the repetition penalty.
   * @returns the branches that go on, and the row of the one that each comes from
   */
  const accept = (logits: Float32Array, branches: Branch[]) => {
    const vocabulary = logits.length / branches.length;
    const next: Branch[] = [];
    const rows: number[] = [];
    branches.forEach((branch, row) => {
      const own = logits.subarray(row * vocabulary, (row + 1) * vocabulary);
      if (job.repetitionPenalty !== 1) {
        penalizeRepetition(own, branch[0]!.seen, job.repetitionPenalty);
      }
      const draw = sample(own);
      const byToken = new Map<number, Branch>();
      for (const rollout of branch) {
        const id = draw(rollout.random);
        rollout.seen.add(id);
        rollout.stream.push(id);
        const same = byToken.get(id);
        if (job.endTokenIds.includes(id)) finish(rollout, 'endOfTurn');
        else if (rollout.stream.ids.length >= settings.maxNewTokens)
          finish(rollout, 'maxNewTokens');
        else if (same) same.push(rollout);
        else byToken.set(id, [rollout]);
      }
      for (const part of byToken.values()) {
        next.push(part);
        rows.push(row);
      }
    });
    return { branches: next, rows };
  };

  const all = Array.from({ length: count - done.length }, (_, i) =>
    startRollout(job, done.length + i),
  );
  let running = accept(Float32Array.from(job.prefill.logits), [all]);
  if (running.branches.length === 0) return results as RolloutResult[];

  const batch = await job.decoder.startRows(job.prefill, 1);
  try {
    for (;;) {
      throwIfAborted(signal); // each run lets messages and timers in before it begins
      if (job.earlyStop && isVoteSettled(results.map((result) => result && result.answer))) break;
      if (running.branches.length === 0) break;
      await batch.keep(running.rows);
      const logits = await batch.step(running.branches.map(([any]) => any!.stream.ids.at(-1)!));
      running = accept(logits, running.branches);
      if (performance.now() - lastText >= textIntervalMs) {
        lastText = performance.now();
        for (const { index, stream } of running.branches.flat()) {
          job.onText(index, stream.text, stream.ids.length);
        }
      }
    }
    for (const rollout of running.branches.flat()) finish(rollout, 'earlyStop');
  } finally {
    batch.dispose();
  }
  return results as RolloutResult[];
}

function startRollout(job: RolloutJob, index: number): Rollout {
  return {
    index,
    random: randomStream(job.settings.seed, index),
    stream: new TextStream(job.codec),
    seen: new Set(job.promptIds),
  };
}
