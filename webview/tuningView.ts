/** The levers. Moving one is shown at once from cached scores; releasing it asks, if auto-run is on. */
import { element, section, setText, whenChanged } from './dom';
import { formatCount, formatShare } from './format';
import { iconButton } from './icons';
import { createCheckbox, createChoice, createLever, nearestValid } from './lever';
import type { PredictedRollouts } from './runFigures';
import { settingRanges } from '../src/avis/settings';
import type { AskSettings } from '../src/shared/types';

export interface TuningInput {
  settings: AskSettings;
  autoRun: boolean;
  /** What the levers keep of the picture's visual tokens; null before its scores are known. */
  kept: number | null;
  total: number;
  /** K that the levers lead to; null while unknown. */
  rollouts: PredictedRollouts | null;
  /** What the levers would save, in words; empty while they ask what was run. */
  predictedSaving: string;
  /** Without a difficulty predictor the Beta rule ends adaptive rollouts. */
  hasPredictor: boolean;
  /** Of the model's policy; an adaptive mode starts there. */
  defaults: AskSettings;
}

export interface TuningActions {
  /** `final`: the lever was released. */
  change(settings: AskSettings, final: boolean): void;
  setAutoRun(autoRun: boolean): void;
  reset(defaults: AskSettings): void;
}

export function createTuningView(actions: TuningActions) {
  let current: TuningInput | null = null;
  const change = (part: Partial<AskSettings>, final: boolean) => {
    if (current) actions.change({ ...current.settings, ...part }, final);
  };

  const pruneMode = createChoice(
    'Pruning',
    [
      { value: 'adaptive', text: 'Adaptive τ', title: 'Prune what scores below −cos τ' },
      { value: 'fixed', text: 'Fixed ρ', title: 'Prune a fixed share of the visual tokens' },
    ],
    (mode) => {
      if (!current) return;
      const { kept, total, defaults } = current;
      const tauDegrees =
        defaults.prune.mode === 'adaptive'
          ? defaults.prune.tauDegrees
          : settingRanges.tauDegrees.max;
      // A fixed ρ starts where the adaptive one stands, so that nothing jumps.
      const ratio = kept === null ? 0 : Math.floor((1 - kept / total) * 100) / 100;
      change(
        {
          prune:
            mode === 'adaptive'
              ? { mode, tauDegrees }
              : { mode, ratio: Math.min(ratio, settingRanges.ratio.max) },
        },
        true,
      );
    },
  );
  const tau = createLever(
    {
      label: 'τ',
      title: 'Tokens within this angle of the mean key are pruned',
      ...settingRanges.tauDegrees,
      step: 0.5,
      unit: { symbol: '°', name: 'degrees' },
    },
    (tauDegrees, final) => change({ prune: { mode: 'adaptive', tauDegrees } }, final),
  );
  const ratio = createLever(
    { label: 'ρ', title: 'Share of visual tokens pruned', ...settingRanges.ratio, step: 0.01 },
    (value, final) => change({ prune: { mode: 'fixed', ratio: value } }, final),
  );
  const keptText = element('span', { class: 'group-figure' });

  const rolloutMode = createChoice(
    'Rollouts',
    [
      { value: 'adaptive', text: 'Adaptive K', title: 'K follows the predicted difficulty' },
      { value: 'fixed', text: 'Fixed K', title: 'Always this many rollouts' },
    ],
    (mode) => {
      if (!current) return;
      const { rollouts, defaults } = current;
      const cap = defaults.rollouts.mode === 'adaptive' ? defaults.rollouts.cap : 1;
      change(
        {
          rollouts: mode === 'adaptive' ? { mode, cap } : { mode, k: rollouts?.k ?? cap },
        },
        true,
      );
    },
  );
  const cap = createLever(
    {
      label: 'Cap',
      title: 'The most rollouts the policy may choose',
      ...settingRanges.cap,
      step: 1,
    },
    (value, final) => change({ rollouts: { mode: 'adaptive', cap: value } }, final),
  );
  const fixedK = createLever(
    {
      label: 'K',
      title: 'Rollouts decoded and voted on; 1 is greedy',
      ...settingRanges.k,
      step: 1,
    },
    (k, final) => change({ rollouts: { mode: 'fixed', k } }, final),
  );
  const confidence = createLever(
    {
      label: 'Confidence',
      title: 'This model has no difficulty predictor: rollouts end once the Beta rule is this sure',
      ...settingRanges.confidence,
      step: 0.01,
    },
    (value, final) => change({ confidence: value }, final),
  );
  const kText = element('span', { class: 'group-figure' });

  const temperature = createLever(
    {
      label: 'Temperature',
      title: 'Of sampling, where K > 1',
      ...settingRanges.temperature,
      step: 0.01,
    },
    (value, final) => change({ temperature: value }, final),
  );
  const topP = createLever(
    { label: 'Top-p', title: 'Of sampling, where K > 1', ...settingRanges.topP, step: 0.01 },
    (value, final) => change({ topP: value }, final),
  );
  const seed = createNumberRow(
    'Seed',
    'The same seed gives the same rollouts',
    settingRanges.seed,
    (value) => change({ seed: value }, true),
  );
  const dice = iconButton('dice', 'Draw a seed', () =>
    change({ seed: crypto.getRandomValues(new Uint32Array(1))[0] ?? 0 }, true),
  );
  seed.root.append(dice);
  const maxNewTokens = createNumberRow(
    'Max tokens',
    'The most new tokens of one rollout',
    settingRanges.maxNewTokens,
    (value) => change({ maxNewTokens: value }, true),
  );
  const thinking = createCheckbox(
    'Thinking',
    'Ask for <think>…</think> before the answer',
    (checked) => change({ thinking: checked }, true),
  );
  const earlyStop = createCheckbox(
    'Early stop',
    'Stop rollouts that can no longer change the majority; the answer stays the same',
    (checked) => change({ earlyStop: checked }, true),
  );
  const autoRun = createCheckbox(
    'Run on release',
    'Ask again when a lever is released',
    (checked) => actions.setAutoRun(checked),
  );
  const reset = element('button', { type: 'button', class: 'link' }, 'Reset');
  reset.title = 'Back to the defaults of this model’s policy';
  reset.addEventListener('click', () => {
    if (current) actions.reset(current.defaults);
  });

  const prediction = element('span', { class: 'group-figure', 'aria-live': 'off' });
  const root = section(
    'levers',
    'Levers',
    element(
      'div',
      { class: 'lever-columns' },
      element(
        'div',
        { class: 'lever-group short', role: 'group', 'aria-label': 'Pruning and rollouts' },
        element('div', { class: 'group-head' }, pruneMode.root, keptText),
        tau.root,
        ratio.root,
        element('div', { class: 'group-head' }, rolloutMode.root, kText),
        cap.root,
        confidence.root,
        fixedK.root,
      ),
      element(
        'div',
        { class: 'lever-group', role: 'group', 'aria-label': 'Sampling' },
        temperature.root,
        topP.root,
        seed.root,
        maxNewTokens.root,
        element('div', { class: 'checkboxes' }, thinking.root, earlyStop.root),
      ),
    ),
    element('div', { class: 'lever-foot' }, autoRun.root, prediction, reset),
  );

  const render = whenChanged((input: TuningInput) => {
    current = input;
    const { settings, kept, total, rollouts } = input;
    const { prune } = settings;
    pruneMode.render(prune.mode);
    tau.root.hidden = prune.mode !== 'adaptive';
    ratio.root.hidden = prune.mode !== 'fixed';
    const effect = kept === null ? '' : `${formatCount(kept)} of ${formatCount(total)} kept`;
    if (prune.mode === 'adaptive') tau.render(prune.tauDegrees, effect);
    else ratio.render(prune.ratio, effect);
    keptText.title = kept === null ? '' : `${formatShare(1 - kept / total)} pruned`;
    setText(keptText, effect);
    rolloutMode.render(settings.rollouts.mode);
    cap.root.hidden = settings.rollouts.mode !== 'adaptive';
    fixedK.root.hidden = settings.rollouts.mode !== 'fixed';
    confidence.root.hidden = settings.rollouts.mode !== 'adaptive' || input.hasPredictor;
    confidence.render(settings.confidence);
    if (settings.rollouts.mode === 'adaptive') cap.render(settings.rollouts.cap);
    else fixedK.render(settings.rollouts.k);
    const adaptive = settings.rollouts.mode === 'adaptive';
    setText(kText, rollouts && adaptive ? `${rollouts.atMost ? 'about ' : ''}K ${rollouts.k}` : '');
    temperature.render(settings.temperature);
    topP.render(settings.topP);
    seed.render(settings.seed);
    maxNewTokens.render(settings.maxNewTokens);
    thinking.render(settings.thinking);
    earlyStop.render(settings.earlyStop);
    autoRun.render(input.autoRun);
    setText(prediction, input.predictedSaving);
  });
  return { root, render };
}

function createNumberRow(
  label: string,
  title: string,
  { min, max }: { min: number; max: number },
  onChange: (value: number) => void,
) {
  const input = element('input', { type: 'number', min, max, step: 1 });
  let shown = min;
  input.addEventListener('change', () => {
    const value = nearestValid(input.valueAsNumber, { min, max, step: 1 }, shown);
    input.value = String(value);
    onChange(value);
  });
  return {
    root: element('div', { class: 'number-row' }, element('label', { title }, label, input)),
    render(value: number): void {
      shown = value;
      if (document.activeElement !== input) input.value = String(value);
    },
  };
}
