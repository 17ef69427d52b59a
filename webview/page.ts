/** Puts the sections together and gives each what it shows of the model. */
import { createAnswerView } from './answerView';
import { createVoteChart } from './charts';
import { createComputeView, predictedSaving } from './computeView';
import { createDifficultyView } from './difficultyView';
import { element, remember, show, whenChanged } from './dom';
import { createImageView } from './imageView';
import { createNoticeView } from './noticeView';
import {
  comparedRecord,
  type LiveRollout,
  type PanelModel,
  sameSettings,
  selectLive,
  selectRun,
  shownLive,
  shownRecord,
  shownVisual,
  toggleCompared,
} from './panelModel';
import { createQuestionView } from './questionView';
import { createRolloutsView } from './rolloutsView';
import {
  agreementOf,
  binsOf,
  compareKept,
  fatesOfKeep,
  keepThreshold,
  predictRollouts,
  predictRun,
} from './runFigures';
import { createRunsView } from './runsView';
import { createTuningView } from './tuningView';
import { endedOf, provisionalVote, rolloutRows, voteBars } from './votes';
import { keepVisualTokens } from '../src/avis/kdv';
import { computeWithVanilla, vanillaOf } from '../src/avis/measuredVanilla';
import { defaultSettings } from '../src/avis/settings';
import type { PanelMessage, RunPurpose, RunRecord } from '../src/shared/panelProtocol';
import type { AskSettings, PruneSetting, VisualResult, VoteResult } from '../src/shared/types';

export interface PageContext {
  update(change: (model: PanelModel) => PanelModel): void;
  ask(purpose: RunPurpose): void;
  post(message: PanelMessage): void;
}

export function createPage({ update, ask, post }: PageContext) {
  let model: PanelModel | null = null;
  const changeSettings = (settings: AskSettings, final: boolean) => {
    update((before) => ({ ...before, settings }));
    if (final && model?.autoRun && model.question.trim() !== '') ask('run');
  };
  const stop = () => post({ type: 'cancelRun' });

  const question = createQuestionView({
    edit: (text) => update((before) => ({ ...before, question: text })),
    run: () => ask('run'),
    stop,
    chooseModel: () => post({ type: 'chooseModel' }),
  });
  const notice = createNoticeView({
    act(action) {
      if (action === 'chooseModel') post({ type: 'chooseModel' });
      else if (action === 'showLog') post({ type: 'showLog' });
      else post({ type: 'retryEngine' });
    },
    dismiss: () => update((before) => ({ ...before, notice: null })),
  });
  const answer = createAnswerView();
  const image = createImageView((overlayOpacity) =>
    update((before) => ({ ...before, view: { ...before.view, overlayOpacity } })),
  );
  const tuning = createTuningView({
    change: changeSettings,
    setAutoRun: (autoRun) => update((before) => ({ ...before, autoRun })),
    reset: (defaults) => changeSettings(defaults, true),
  });
  const difficulty = createDifficultyView();
  const voteChart = createVoteChart();
  const rollouts = createRolloutsView(voteChart.root);
  const compute = createComputeView(() => ask('vanilla'));
  const runs = createRunsView({
    select: (id) => update((before) => selectRun(before, id)),
    selectLive: () => update(selectLive),
    compare: (id) => update((before) => toggleCompared(before, id)),
    export: (runId, to) => post({ type: 'exportConfig', runId, to }),
  });
  const root = element(
    'main',
    {},
    element('h1', { class: 'visually-hidden' }, 'AVIS'),
    element('div', { class: 'top' }, question.root, notice.root),
    answer.root,
    element('div', { class: 'column seeing' }, image.root, tuning.root),
    element('div', { class: 'column reasoning-column' }, difficulty.root, rollouts.root),
    compute.root,
    runs.root,
  );
  const renderVotes = whenChanged(
    (input: { vote: VoteResult | null; rows: readonly LiveRollout[] }) => {
      // A single rollout has nothing to vote on.
      const bars =
        input.vote && input.rows.length > 1 ? voteBars(input.vote, endedOf(input.rows)) : [];
      show(voteChart.root, bars.length > 0);
      if (bars.length === 0) return;
      const spoken = bars.map(({ label, votes }) => `${label}: ${votes}`).join('; ');
      voteChart.render(bars, `Votes. ${spoken}.`);
    },
  );
  // Each of these keeps its last result, so that a section renders only when its part changed.
  const keepFor = remember((visual: VisualResult, prune: PruneSetting) =>
    keepVisualTokens(visual.scores, prune),
  );
  const keepFates = remember(fatesOfKeep);
  const comparedFates = remember(compareKept);
  const thresholdFor = remember(keepThreshold);
  const computeFor = remember(computeWithVanilla);
  const predictionFor = remember(predictRun);
  const rolloutsFor = remember(predictRollouts);
  const endedRollouts = remember(rolloutRows);
  const runningVote = remember(provisionalVote);
  const defaultsFor = remember(defaultSettings);

  return {
    root,
    render(next: PanelModel): void {
      model = next;
      const { subject, settings, live, modelState, knownModel } = next;
      if (!subject || !settings) return;
      const running = shownLive(next);
      const record = shownRecord(next);
      const result = record?.result ?? null;
      const compared = comparedRecord(next);
      const seen = shownVisual(next);
      const bins = binsOf(knownModel);

      const runCompute = record && computeFor(record, next.runs);
      // The levers differ from what is on show: then the mask and the figures are their preview.
      const ran = running?.settings ?? result?.settings ?? null;
      const leversMoved = ran !== null && !sameSettings(ran, settings);
      const keepOfLevers = seen ? keepFor(seen.visual, settings.prune) : noTokens;
      const keep = seen && !leversMoved ? seen.visual.keep : keepOfLevers;
      const questionChanged =
        !running && result !== null && result.question !== next.question.trim();
      const prediction =
        leversMoved && !running && result && runCompute
          ? predictionFor(result, runCompute, settings, keep, knownModel)
          : null;
      const difficultyShown = running ? running.difficulty : (result?.difficulty ?? null);
      const rows = running ? running.rollouts : endedRollouts(result);
      const vote = running ? runningVote(running.rollouts) : (result?.vote ?? null);
      const ended = endedOf(rows);
      const { agreeing, finished } = vote ? agreementOf(vote, ended) : { agreeing: 0, finished: 0 };
      const visualShown = running ? running.visual : (result?.visual ?? null);

      question.render({
        question: next.question,
        recentQuestions: next.recentQuestions,
        modelState,
        live,
        imageName: subject.name,
      });
      notice.render({ notice: next.notice });
      answer.render({
        title: running ? `Run #${running.id}, in progress` : runTitle(record),
        vote,
        running: running !== null,
        agreeing,
        finished,
        difficulty: difficultyShown,
        visual: visualShown,
        compute: running ? null : runCompute,
        elapsedMs: running || !result ? null : result.timing.total - result.timing.load,
        changed: !running && (leversMoved || questionChanged),
      });
      const both = record && compared ? { first: record, second: compared } : null;
      const fatesOfBoth =
        both && comparedFates(both.first.result.visual, both.second.result.visual);
      image.render({
        webviewSrc: subject.webviewSrc,
        name: subject.name,
        image: seen?.image ?? null,
        visual: seen?.visual ?? null,
        fates: fatesOfBoth ?? keepFates(seen?.visual.total ?? 0, keep),
        threshold: seen ? thresholdFor(seen.visual.scores, settings.prune, keep) : 0,
        lever: leverText(settings.prune),
        firstRun: both && fatesOfBoth ? both.first.id : null,
        secondRun: both && fatesOfBoth ? both.second.id : null,
        previewing: leversMoved,
        opacity: next.view.overlayOpacity,
      });
      tuning.render({
        settings,
        autoRun: next.autoRun,
        kept: seen ? keepOfLevers.length : null,
        total: seen?.visual.total ?? 0,
        rollouts: rolloutsFor(difficultyShown, settings.rollouts, bins),
        predictedSaving: predictedSaving(prediction),
        hasPredictor: knownModel?.hasPredictor ?? true,
        defaults: defaultsFor(knownModel?.policy ?? null),
      });
      difficulty.render({
        difficulty: difficultyShown,
        cap: settings.rollouts.mode === 'adaptive' ? settings.rollouts.cap : null,
        predicted: prediction?.rollouts ?? null,
        bins,
        hasPredictor: knownModel?.hasPredictor ?? null,
        familiarity: visualShown?.familiarity ?? null,
      });
      renderVotes({ vote, rows });
      rollouts.render({
        runId: running?.id ?? record?.id ?? null,
        rollouts: rows,
        expected: running?.difficulty?.k ?? 0,
        majority: vote?.answer ?? null,
        running: running !== null,
      });
      compute.render({
        result,
        compute: runCompute,
        vanillaTiming: record && (vanillaOf(record, next.runs)?.result.timing ?? null),
        prediction,
        measuring: live?.purpose === 'vanilla',
        busy: live !== null,
        ofRun: running ? (record?.id ?? null) : null,
      });
      runs.render({
        runs: next.runs,
        live:
          live && `${live.id} ${live.purpose === 'vanilla' ? 'measuring vanilla…' : 'running…'}`,
        liveShown: running !== null,
        shown: record,
        compared,
      });
    },
  };
}

function leverText(prune: PruneSetting): string {
  return prune.mode === 'adaptive' ? `τ ${prune.tauDegrees}°` : `ρ ${prune.ratio}`;
}

const noTokens: readonly number[] = [];

function runTitle(record: RunRecord | null): string {
  if (!record) return '';
  return record.purpose === 'vanilla' ? `Run #${record.id}, vanilla` : `Run #${record.id}`;
}
