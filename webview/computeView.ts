/** What the allocation cost and saved, against vanilla (ρ = 0, K = 1), as run and as predicted. */
import { createComputeChart, type ComputeBar } from './charts';
import { element, keyEntry, section, setText, show, whenChanged } from './dom';
import { formatBytes, formatCount, formatFlops, formatMs, formatShare } from './format';
import type { Prediction } from './runFigures';
import { countedFlops } from '../src/avis/measuredVanilla';
import type { ComputeResult, RunResult, TimingResult, VisualResult } from '../src/shared/types';

export interface ComputeInput {
  result: RunResult | null;
  /** The result's compute, with vanilla as measured where it was. */
  compute: ComputeResult | null;
  vanillaTiming: TimingResult | null;
  /** Set while the levers ask something else than the run on show. */
  prediction: Prediction | null;
  /** A vanilla measurement is running, or anything else is. */
  measuring: boolean;
  busy: boolean;
  /** The run these figures are of, while another one is in progress. */
  ofRun: number | null;
}

export function createComputeView(onMeasureVanilla: () => void) {
  const saved = element('span', { class: 'saved-share' });
  const savedLabel = element('span', { class: 'saved-label' });
  const predicted = element('span', { class: 'predicted' });
  const basis = element('p', { class: 'quiet' });
  const chart = createComputeChart();
  const key = element(
    'div',
    { class: 'chart-key' },
    keyEntry('prefill', 'prefill'),
    keyEntry('decode', 'decode'),
    keyEntry('vision', 'vision, not counted'),
  );
  const figures = element('table', { class: 'figures' });
  const measure = element('button', { type: 'button', class: 'secondary' }, 'Measure vanilla');
  measure.title = 'Runs the same query with every visual token and one rollout';
  measure.addEventListener('click', onMeasureVanilla);
  const body = element(
    'div',
    {},
    element('p', { class: 'saved' }, saved, savedLabel, predicted),
    chart.root,
    key,
    figures,
    basis,
    measure,
  );
  const empty = element('p', { class: 'quiet' }, 'Shown after the first run.');
  const root = section('compute', 'Compute', body, empty);

  const render = whenChanged((input: ComputeInput) => {
    const { result, compute, vanillaTiming, prediction, measuring, busy, ofRun } = input;
    show(body, result !== null);
    show(empty, result === null);
    if (!result || !compute) return;
    const { timing, visual } = result;
    setText(saved, formatShare(Math.abs(compute.saved)));
    const word = compute.saved < 0 ? 'more than vanilla' : 'saved';
    setText(savedLabel, ofRun === null ? word : `${word} by run #${ofRun}`);
    body.classList.toggle('outdated', ofRun !== null);
    saved.classList.toggle('more', compute.saved < 0);
    const ahead = prediction?.compute ?? null;
    show(predicted, ahead !== null);
    if (prediction) setText(predicted, `→ ${predictedSaving(prediction)}`);
    const bars: ComputeBar[] = [
      { label: 'Vanilla', flops: compute.vanilla },
      { label: 'This run', flops: compute.run },
    ];
    if (ahead) bars.push({ label: 'Predicted', flops: ahead.run });
    chart.render(bars, bars.map(describeBar).join(' '));
    figures.replaceChildren(...figureRows(compute, timing, visual, vanillaTiming, prediction));
    const estimated = compute.vanillaSource === 'estimated';
    setText(
      basis,
      `With the vision encoder, which runs in full either way: ${savedText(compute.savedWithVision)}. ` +
        (estimated
          ? 'Vanilla is estimated: its answer is taken to be as long as this run’s mean rollout.'
          : 'Vanilla was measured.') +
        cachedText(timing),
    );
    show(measure, estimated);
    measure.disabled = busy;
    setText(measure, measuring ? 'Measuring vanilla…' : 'Measure vanilla');
  });
  return { root, render };
}

/** "71 % saved", or how much more it costs. */
function savedText(share: number): string {
  return share < 0 ? `${formatShare(-share)} more` : `${formatShare(share)} saved`;
}

/** What levers would save by prediction; empty while that isn't known. */
export function predictedSaving(prediction: Prediction | null): string {
  if (!prediction?.compute) return '';
  const condition = prediction.rollouts.atMost ? ' with the same K' : '';
  return `${savedText(prediction.compute.saved)}${condition}, predicted`;
}

function describeBar({ label, flops }: ComputeBar): string {
  return (
    `${label}: prefill ${formatFlops(flops.prefill)}, decode ${formatFlops(flops.decode)}, ` +
    `together ${formatFlops(countedFlops(flops))}; vision ${formatFlops(flops.vision)}, not counted.`
  );
}

function figureRows(
  compute: ComputeResult,
  timing: TimingResult,
  visual: VisualResult,
  vanillaTiming: TimingResult | null,
  prediction: Prediction | null,
): HTMLElement[] {
  const row = (name: string, ...values: (string | null)[]) =>
    element(
      'tr',
      {},
      element('th', { scope: 'row' }, name),
      ...values.slice(0, prediction ? 3 : 2).map((value) => element('td', {}, value ?? '–')),
    );
  const head = element(
    'tr',
    {},
    element('td', {}),
    ...['vanilla', 'this run', 'predicted']
      .slice(0, prediction ? 3 : 2)
      .map((name) => element('th', { scope: 'col' }, name)),
  );
  const ahead = prediction?.compute ?? null;
  const runTime = formatMs(timing.total - timing.load);
  const vanillaTime = vanillaTiming && formatMs(vanillaTiming.total - vanillaTiming.load);
  return [
    head,
    row(
      'visual tokens',
      formatCount(visual.total),
      formatCount(visual.kept),
      prediction && formatCount(prediction.kept),
    ),
    row(
      'operations',
      formatFlops(countedFlops(compute.vanilla)),
      formatFlops(countedFlops(compute.run)),
      ahead && formatFlops(countedFlops(ahead.run)),
    ),
    row(
      'KV cache',
      formatBytes(compute.vanillaKvBytes),
      formatBytes(compute.kvBytes),
      ahead && formatBytes(ahead.kvBytes),
    ),
    row('time', vanillaTime, runTime, null),
  ];
}

function cachedText({ cached }: TimingResult): string {
  if (cached.length === 0) return '';
  return ` Taken from the cache: ${cached.join(' and ')}.`;
}
