/** The answer, and the run's figures in one line. */
import { element, setText, whenChanged } from './dom';
import { formatCount, formatMs, formatShare } from './format';
import type {
  ComputeResult,
  DifficultyResult,
  VisualResult,
  VoteResult,
} from '../src/shared/types';

export interface AnswerInput {
  /** "Run #3", "Running", …; empty before the first run. */
  title: string;
  vote: VoteResult | null;
  /** The vote is not over. */
  running: boolean;
  agreeing: number;
  finished: number;
  difficulty: DifficultyResult | null;
  visual: VisualResult | null;
  compute: ComputeResult | null;
  elapsedMs: number | null;
  /** Levers or question differ from the run on show. */
  changed: boolean;
}

export function createAnswerView() {
  const title = element('span', { class: 'answer-title' });
  const changedMark = element(
    'span',
    { class: 'badge', title: 'The levers or the question differ from this run; Run asks anew' },
    'changed since',
  );
  const answer = element('div', { class: 'answer', dir: 'auto' });
  const figures = element('dl', { class: 'headline' });
  // Only a finished answer is spoken, once.
  const spoken = element('div', { class: 'visually-hidden', 'aria-live': 'polite' });
  const root = element(
    'section',
    { id: 'answer', class: 'pane answer-pane', 'aria-label': 'Answer' },
    element('div', { class: 'answer-body' }, element('div', {}, title, changedMark), answer),
    figures,
    spoken,
  );

  const render = whenChanged((input: AnswerInput) => {
    const { vote, running, visual, compute, difficulty, agreeing, finished, elapsedMs } = input;
    setText(title, input.title);
    changedMark.hidden = !input.changed;
    const text = answerText(vote, running);
    setText(answer, text);
    answer.classList.toggle('quiet', !vote || vote.answer === null);
    answer.classList.toggle('provisional', running && typeof vote?.answer === 'string');
    answer.classList.toggle('long', text.length > 60);
    const entries: [string, string, string][] = [];
    if (finished > 1 && typeof vote?.answer === 'string') {
      entries.push(['agree', `${agreeing} of ${finished}`, 'Rollouts that voted for this answer']);
    }
    if (compute) {
      const { saved } = compute;
      entries.push([
        saved < 0 ? 'more compute' : 'compute saved',
        formatShare(Math.abs(saved)),
        'Operations against vanilla, without the vision encoder',
      ]);
    }
    if (visual) {
      entries.push([
        'tokens kept',
        `${formatCount(visual.kept)} of ${formatCount(visual.total)}`,
        'Visual tokens that reach the language model',
      ]);
    }
    if (difficulty) entries.push(['rollouts', `K ${difficulty.k}`, 'Rollouts sampled']);
    if (elapsedMs !== null)
      entries.push(['time', formatMs(elapsedMs), 'Without loading the model']);
    figures.replaceChildren(
      ...entries.map(([name, value, explanation]) =>
        element('div', { title: explanation }, element('dt', {}, name), element('dd', {}, value)),
      ),
    );
    if (!running && vote) setText(spoken, `Answer: ${text}`);
  });
  return { root, render };
}

function answerText(vote: VoteResult | null, running: boolean): string {
  if (typeof vote?.answer === 'string') return vote.answer;
  if (running) return '…';
  return vote ? 'No answer: every rollout abstained.' : 'Ask a question to begin.';
}
