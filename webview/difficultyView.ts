/** Predicted difficulty: p̂ on a scale with the policy's bins, the K of each, and the cap's cut. */
import { element, section, whenChanged } from './dom';
import { formatScore } from './format';
import { icon } from './icons';
import type { PredictedRollouts } from './runFigures';
import type { DifficultyResult, PolicyBin, VisualResult } from '../src/shared/types';

export interface DifficultyInput {
  difficulty: DifficultyResult | null;
  /** The cap that the levers say now; the scale shows its cut. Null under a fixed K. */
  cap: number | null;
  /** K that the levers would run now, while they differ from the run on show. */
  predicted: PredictedRollouts | null;
  bins: readonly PolicyBin[];
  /** Null while the model isn't loaded. */
  hasPredictor: boolean | null;
  familiarity: VisualResult['familiarity'] | null;
}

export function createDifficultyView() {
  const verdict = element('p', { class: 'verdict' });
  const scale = element('div', { class: 'difficulty-scale' });
  const notes = element('div', { class: 'notes' });
  const root = section('difficulty', 'Predicted difficulty', verdict, scale, notes);

  const render = whenChanged((input: DifficultyInput) => {
    const { difficulty, familiarity } = input;
    verdict.replaceChildren(...describeDifficulty(input));
    const drawScale =
      input.hasPredictor === true && !(difficulty !== null && difficulty.solvability === null);
    scale.hidden = !drawScale;
    if (drawScale) renderScale(scale, input);
    notes.replaceChildren();
    if (familiarity?.unfamiliar) {
      notes.append(
        element(
          'p',
          { class: 'note warning' },
          icon('warning'),
          `Unlike the pictures this model was trained on (distance ${familiarity.distance.toFixed(1)}, ` +
            `limit ${familiarity.threshold.toFixed(1)}): don’t rely on the estimate or the answer.`,
        ),
      );
    }
  });
  return { root, render };
}

/** What the difficulty led to, in words; figures in bold. */
function describeDifficulty({
  difficulty,
  hasPredictor,
  predicted,
}: DifficultyInput): (Node | string)[] {
  if (!difficulty) {
    return [
      hasPredictor !== false
        ? 'Estimated with the first run.'
        : 'This model has no difficulty predictor: rollouts run until their majority is settled.',
    ];
  }
  const { source, solvability, wanted, k, cap } = difficulty;
  const estimate =
    solvability === null
      ? []
      : [strong(difficultyWord(solvability)), ` · p̂ ${formatScore(solvability)} → `];
  const now = predicted && predicted.k !== k ? `. With these levers: K ${predicted.k}` : '';
  switch (source) {
    case 'predictor': {
      const cut = k < wanted ? `, cut from ${wanted} by the cap` : '';
      return [...estimate, strong(`K ${k}`), cut, now];
    }
    case 'fixed': {
      const instead =
        solvability === null || wanted === k ? '' : `; the policy would run ${wanted}`;
      return [...estimate, strong(`K ${k}`), ' fixed', instead, now];
    }
    case 'betaStopping': {
      const atCap = cap !== null && k >= cap;
      return [
        'No difficulty predictor in this model: rollouts ran ',
        atCap ? 'up to the cap, ' : 'until the Beta rule held their majority for settled, ',
        strong(`K ${k}`),
        cap === null || atCap ? '' : ` of at most ${cap}`,
        now,
      ];
    }
    default:
      return [source satisfies never];
  }
}

function strong(text: string): HTMLElement {
  return element('strong', {}, text);
}

function difficultyWord(solvability: number): string {
  if (solvability >= 0.75) return 'Easy';
  if (solvability >= 0.5) return 'Moderate';
  if (solvability >= 0.2) return 'Hard';
  return 'Very hard';
}

function renderScale(node: HTMLElement, { difficulty, cap, bins }: DifficultyInput): void {
  const solvability = difficulty?.solvability ?? null;
  const segments = element('div', { class: 'segments' });
  const most = Math.max(...bins.map(({ k }) => k));
  let from = 0;
  for (const { upTo, k } of bins) {
    const current = solvability !== null && solvability > from && solvability <= upTo;
    const cut = cap !== null && k > cap;
    const range = `p̂ from ${formatScore(from)} to ${formatScore(upTo)}`;
    const segment = element('div', {
      class: current ? 'segment current' : 'segment',
      title: `${range}: K ${k}${cut ? `, cut to ${cap} by the cap` : ''}`,
    });
    segment.style.flexGrow = String(upTo - from);
    segment.style.setProperty('--rollouts', String(k / most));
    if (cut) {
      const beyond = element('div', { class: 'beyond-cap' });
      beyond.style.height = `${(1 - cap / k) * 100}%`;
      segment.append(beyond, element('span', {}, element('s', {}, String(k)), ` ${cap}`));
    } else segment.append(element('span', {}, String(k)));
    segments.append(segment);
    from = upTo;
  }
  node.replaceChildren(segments);
  if (solvability !== null) {
    const marker = element('div', { class: 'marker' });
    marker.style.left = `${solvability * 100}%`;
    node.append(marker);
  }
  node.append(
    element(
      'div',
      { class: 'scale-ends' },
      element('span', {}, '0 · hopeless'),
      element('span', {}, 'K by solvability p̂'),
      element('span', {}, 'easy · 1'),
    ),
  );
  const steps = bins.map(({ upTo, k }) => `up to ${formatScore(upTo)}, K ${k}`).join('; ');
  const here = solvability === null ? '' : ` Estimated ${formatScore(solvability)}.`;
  node.setAttribute('role', 'img');
  node.setAttribute('aria-label', `Solvability scale: ${steps}.${here}`);
}
