import { createHash } from 'node:crypto';
import { computeCost, visionFlops } from '../avis/compute';
import { keepVisualTokens } from '../avis/kdv';
import { tallyVotes } from '../avis/vote';
import type { AskProgress } from '../shared/engineProtocol';
import type {
  AskSettings,
  DifficultyResult,
  RolloutResult,
  RunResult,
  TimingResult,
  VisualRegion,
  VisualResult,
} from '../shared/types';
import { yieldToEvents } from './abort';
import { ByteCache } from './byteCache';
import { chooseDifficulty, mostRollouts, nextWave } from './difficulty';
import type { Prefill } from './decoder';
import type { ImageLayout } from './families/family';
import { decodeImage } from './image';
import type { Model } from './model';
import { paperPrompt } from './policyFile';
import { buildPrompt, type Prompt, prunePrompt } from './prompt';
import { type RolloutJob, runRollouts } from './rollouts';
import { familiarityOf, type VisualFeatures } from './vision';

const cachedVanillaAnswers = 256;

export interface Query {
  image: { name: string; bytes: Uint8Array };
  question: string;
  settings: AskSettings;
  /**
   * Visual tokens to keep (ascending, at least one) in place of those that `settings.prune` would, so
   * that other pruners can be compared.
   */
  keep?: number[];
}

/** What one image costs once: its layout, features and scores. */
export interface EncodedImage {
  width: number;
  height: number;
  gridThw: [number, number, number];
  layout: ImageLayout;
  visual: VisualFeatures;
}

type VanillaAnswer = Pick<RolloutResult, 'tokens' | 'stopped'>;
type Report = (progress: AskProgress) => void;

/** Answers queries about one model; what was computed for a query is there for the next. */
export class Answerer {
  private readonly images: ByteCache<EncodedImage>;
  private readonly prefills: ByteCache<Prefill>;
  /** How the greedy, unpruned answer ended, where it was once run; by prompt. */
  private readonly vanillaAnswers = new ByteCache<VanillaAnswer>(cachedVanillaAnswers);

  /** @param cacheBytes shared out between features and prefills, which are far larger. */
  constructor(
    private readonly model: Model,
    cacheBytes: number,
  ) {
    this.images = new ByteCache(cacheBytes / 4);
    this.prefills = new ByteCache((cacheBytes * 3) / 4, ({ state }) => {
      for (const tensor of state.tensors) tensor.dispose();
    });
  }

  /** @throws {AvisError} see Engine.ask. */
  async answer(query: Query, report: Report, signal?: AbortSignal): Promise<RunResult> {
    const { checkpoint, family, info } = this.model;
    const { settings } = query;
    const started = performance.now();
    const timing = emptyTiming();
    const imageKey = hashOfImage(query.image);

    const encoded = await this.encodeImage(query.image, imageKey, report, timing, signal);
    const { visual, layout } = encoded;
    const keep = query.keep ?? keepVisualTokens(visual.scores, settings.prune);
    const image = { width: encoded.width, height: encoded.height };
    const visualResult = this.describeVisual(visual, layout.regions, keep);
    report({ type: 'visual', image, visual: visualResult });

    const suffixes = checkpoint.policy?.prompt ?? paperPrompt;
    const suffix = settings.thinking ? suffixes.think : suffixes.direct;
    const prompt = buildPrompt(checkpoint, family, [layout], query.question, suffix);
    const difficulty = await this.predictDifficulty(query, visual, timing);
    report({ type: 'difficulty', difficulty });

    await yieldToEvents(signal);
    const promptKey = `${imageKey} ${hashOf(prompt.ids)}`;
    const prefill = await this.prefill(prompt, promptKey, visual, keep, report, timing, signal);

    report({ type: 'askStage', stage: 'rollouts' });
    const rolloutsStarted = performance.now();
    const rollouts = await this.runRollouts(prompt, prefill, settings, difficulty, report, signal);
    timing.rollouts = performance.now() - rolloutsStarted;
    timing.total = performance.now() - started;

    if (keep.length === visualResult.total && mostRollouts(difficulty) === 1) {
      this.noteVanilla(promptKey, rollouts[0]!);
    }
    return {
      image,
      question: query.question,
      settings,
      visual: visualResult,
      difficulty: { ...difficulty, k: rollouts.length },
      rollouts,
      vote: tallyVotes(rollouts.map(({ answer }) => answer)),
      compute: computeCost({
        cost: info.cost,
        visionFlops: visionFlops(family.vision, [encoded.gridThw]),
        textTokens: prompt.ids.length - visualResult.total,
        visualTokens: visualResult.total,
        keptTokens: keep.length,
        rolloutTokens: rollouts.map(({ tokens }) => tokens),
        vanillaAnswerTokens: this.vanillaAnswerTokens(promptKey, rollouts, settings.maxNewTokens),
      }),
      timing,
      model: { name: info.name, family: info.family, device: info.device.device },
    };
  }

  /** The vision encoder's output alone. @throws {AvisError} see Engine.ask. */
  encode(image: Query['image'], signal?: AbortSignal): Promise<EncodedImage> {
    return this.encodeImage(image, hashOfImage(image), () => {}, emptyTiming(), signal);
  }

  dispose(): void {
    this.images.clear();
    this.prefills.clear();
  }

  private async encodeImage(
    image: Query['image'],
    key: string,
    report: Report,
    timing: TimingResult,
    signal: AbortSignal | undefined,
  ): Promise<EncodedImage> {
    const known = this.images.get(key);
    if (known) {
      timing.cached.push('vision');
      return known;
    }
    report({ type: 'askStage', stage: 'decodeImage' });
    const started = performance.now();
    const rgb = await decodeImage(image.bytes, image.name);
    const prepared = this.model.family.prepareImage(rgb);
    timing.decodeImage = performance.now() - started;
    await yieldToEvents(signal);

    report({ type: 'askStage', stage: 'vision' });
    const { visual, visionMs, kdvMs } = await this.model.vision.encode(prepared, signal);
    timing.vision = visionMs;
    timing.kdv = kdvMs;
    const { gridThw, visualTokens, tokenGrid, regions } = prepared;
    const layout = { visualTokens, tokenGrid, regions };
    const encoded = { width: rgb.width, height: rgb.height, gridThw, layout, visual };
    this.images.set(key, encoded, visual.features.byteLength + visual.scores.byteLength);
    await yieldToEvents(signal); // only now: a canceled run leaves the next one its features
    return encoded;
  }

  private describeVisual(
    visual: VisualFeatures,
    regions: VisualRegion[],
    keep: number[],
  ): VisualResult {
    const total = visual.scores.length;
    const familiarity = familiarityOf(visual, this.model.checkpoint.policy?.familiarity ?? null);
    return {
      regions,
      total,
      kept: keep.length,
      pruneRatio: 1 - keep.length / total,
      scores: Array.from(visual.scores),
      keep,
      scoreSource: visual.scoreSource,
      ...(familiarity && { familiarity }),
    };
  }

  private async predictDifficulty(
    { question, settings }: Query,
    visual: VisualFeatures,
    timing: TimingResult,
  ): Promise<DifficultyResult> {
    const { predictor, decoder, checkpoint } = this.model;
    const started = performance.now();
    let solvability: number | null = null;
    if (predictor) {
      const ids = predictor.wantsQuestion ? checkpoint.codec.encode(question) : [];
      const embeddings = ids.length ? await decoder.embedTokens(ids) : new Float32Array(0);
      solvability = await predictor.predict(visual, embeddings);
    }
    timing.predictor = performance.now() - started;

    return chooseDifficulty(settings, solvability, checkpoint.policy?.settings.bins);
  }

  private async prefill(
    prompt: Prompt,
    promptKey: string,
    visual: VisualFeatures,
    keep: number[],
    report: Report,
    timing: TimingResult,
    signal: AbortSignal | undefined,
  ): Promise<Prefill> {
    const key = `${promptKey} ${hashOf(keep)}`;
    const known = this.prefills.get(key);
    if (known) {
      timing.cached.push('prefill');
      return known;
    }
    report({ type: 'askStage', stage: 'prefill' });
    const started = performance.now();
    const { decoder } = this.model;
    const embeddings = await decoder.embedTokens(prompt.ids);
    const pruned = prunePrompt(prompt, embeddings, visual.features, keep);
    const prefill = await decoder.prefill(
      pruned.embeddings,
      pruned.positions,
      prompt.positions.next,
      signal,
    );
    timing.prefill = performance.now() - started;
    this.prefills.set(key, prefill, decoder.prefillBytes(prefill));
    return prefill;
  }

  private async runRollouts(
    prompt: Prompt,
    prefill: Prefill,
    settings: AskSettings,
    difficulty: DifficultyResult,
    report: Report,
    signal: AbortSignal | undefined,
  ): Promise<RolloutResult[]> {
    const { checkpoint, decoder, family } = this.model;
    const most = mostRollouts(difficulty);
    const room = family.maxPositions - Math.max(prefill.nextPosition, prefill.state.length);
    const job: RolloutJob = {
      decoder,
      codec: checkpoint.codec,
      prefill,
      promptIds: prompt.ids,
      repetitionPenalty: checkpoint.repetitionPenalty,
      endTokenIds: checkpoint.endTokenIds,
      settings: { ...settings, maxNewTokens: Math.min(settings.maxNewTokens, room) },
      greedy: most === 1,
      earlyStop: settings.earlyStop,
      onText: (index, text, tokens) => report({ type: 'rolloutText', index, text, tokens }),
      onDone: (rollout) => report({ type: 'rolloutDone', rollout }),
    };
    if (difficulty.source !== 'betaStopping') return runRollouts(job, [], most, signal);

    let rollouts: RolloutResult[] = [];
    for (;;) {
      const wave = nextWave(
        rollouts.map(({ answer }) => answer),
        most,
        settings.confidence,
      );
      if (wave === 0) return rollouts;
      const count = rollouts.length + wave;
      if (rollouts.length > 0)
        report({ type: 'difficulty', difficulty: { ...difficulty, k: count } });
      // Only the last possible wave may stop early: before it, more votes could follow.
      const earlyStop = settings.earlyStop && count === most;
      rollouts = await runRollouts({ ...job, earlyStop }, rollouts, count, signal);
    }
  }

  /** Of two runs the longer one tells more: the other is its beginning. */
  private noteVanilla(promptKey: string, { tokens, stopped }: VanillaAnswer): void {
    const known = this.vanillaAnswers.get(promptKey);
    if (!known || tokens > known.tokens) this.vanillaAnswers.set(promptKey, { tokens, stopped }, 1);
  }

  private vanillaAnswerTokens(
    promptKey: string,
    rollouts: RolloutResult[],
    maxNewTokens: number,
  ): { tokens: number; source: 'measured' | 'estimated' } {
    const vanilla = this.vanillaAnswers.get(promptKey);
    // One that was cut at a lower limit doesn't tell how it would have gone on.
    if (vanilla && (vanilla.stopped === 'endOfTurn' || vanilla.tokens >= maxNewTokens)) {
      return { tokens: Math.min(vanilla.tokens, maxNewTokens), source: 'measured' };
    }
    const finished = rollouts.filter(({ stopped }) => stopped !== 'earlyStop');
    const lengths = (finished.length ? finished : rollouts).map(({ tokens }) => tokens);
    const mean = lengths.reduce((sum, tokens) => sum + tokens, 0) / lengths.length;
    return { tokens: Math.round(mean), source: 'estimated' };
  }
}

function hashOfImage({ bytes }: Query['image']): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function hashOf(numbers: readonly number[]): string {
  return createHash('sha256').update(Int32Array.from(numbers)).digest('hex');
}

function emptyTiming(): TimingResult {
  return {
    load: 0,
    decodeImage: 0,
    vision: 0,
    kdv: 0,
    predictor: 0,
    prefill: 0,
    rollouts: 0,
    total: 0,
    cached: [],
  };
}
