/** The top of the panel: the question, Run and Stop, which model answers, how far a run has come. */
import { element, freeId, setText, show } from './dom';
import { formatAmount, formatMs } from './format';
import { icon } from './icons';
import type { LiveRun } from './panelModel';
import type { ModelState } from '../src/shared/panelProtocol';

export interface QuestionInput {
  question: string;
  recentQuestions: readonly string[];
  modelState: ModelState;
  live: LiveRun | null;
  imageName: string;
}

export interface QuestionActions {
  edit(question: string): void;
  run(): void;
  stop(): void;
  chooseModel(): void;
}

export function createQuestionView(actions: QuestionActions) {
  const id = freeId('question');
  const box = element('textarea', {
    id,
    rows: 1,
    dir: 'auto',
    spellcheck: 'true',
    placeholder: 'Ask about this image',
    'aria-keyshortcuts': 'Enter',
  });
  const recent = element('select', {
    class: 'recent',
    title: 'Recent questions',
    'aria-label': 'Recent questions',
  });
  const run = element('button', { type: 'button', class: 'primary run' });
  const modelButton = element('button', {
    type: 'button',
    class: 'link model',
    title: 'Choose the model',
  });
  const modelNotes = element('details', { class: 'model-notes' });
  const imageName = element('span', { class: 'image-name' });
  const progress = element('div', { class: 'progress', 'aria-hidden': 'true' });
  const status = element('span', { class: 'status', role: 'status', 'aria-live': 'polite' });

  box.addEventListener('input', () => {
    actions.edit(box.value);
    fitHeight();
  });
  box.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    actions.run();
  });
  recent.addEventListener('change', () => {
    actions.edit(recent.value);
    recent.selectedIndex = 0;
    box.focus();
  });
  // An arrow key would take the first question at once, unseen.
  recent.addEventListener('keydown', (event) => {
    if (!event.key.startsWith('Arrow') && event.key !== 'Enter') return;
    event.preventDefault();
    recent.showPicker();
  });
  modelButton.addEventListener('click', () => actions.chooseModel());
  addEventListener('pointerdown', (event) => {
    if (!modelNotes.contains(event.target as Node)) modelNotes.open = false;
  });
  let running = false;
  run.addEventListener('click', () => (running ? actions.stop() : actions.run()));
  addEventListener('keydown', (event) => {
    if (event.key !== 'Escape') return;
    if (modelNotes.open) {
      modelNotes.open = false;
      modelNotes.querySelector('summary')?.focus();
    } else if (running) actions.stop();
  });
  // The box grows with its text, up to what the style sheet allows.
  function fitHeight(): void {
    box.style.height = 'auto';
    box.style.height = `${box.scrollHeight + 2}px`;
  }
  new ResizeObserver(fitHeight).observe(box.ownerDocument.body);

  const root = element(
    'header',
    {},
    element(
      'div',
      { class: 'question-row' },
      element('label', { for: id, class: 'visually-hidden' }, 'Question'),
      element(
        'div',
        { class: 'question-box' },
        box,
        element('span', { class: 'recent-holder' }, icon('history'), recent),
      ),
      run,
    ),
    element('div', { class: 'subject-row' }, imageName, status, modelNotes, modelButton),
    progress,
  );
  let shownRecent: readonly string[] | null = null;
  let shownRunning: boolean | null = null;
  let shownState: ModelState | null = null;

  return {
    root,
    render(input: QuestionInput): void {
      const { question, recentQuestions, modelState, live } = input;
      if (box.value !== question) {
        box.value = question;
        fitHeight();
      }
      if (shownRecent !== recentQuestions) {
        shownRecent = recentQuestions;
        const heading = element(
          'option',
          { value: '', disabled: true, selected: true },
          'Recent questions',
        );
        recent.replaceChildren(
          heading,
          ...recentQuestions.map((text) => element('option', { value: text }, text)),
        );
        recent.disabled = recentQuestions.length === 0;
      }
      running = live !== null;
      if (shownRunning !== running) {
        shownRunning = running;
        run.replaceChildren(icon(running ? 'stop' : 'run'), running ? 'Stop' : 'Run');
        run.title = running ? 'Stop (Escape)' : 'Ask (Enter)';
      }
      run.disabled = !running && question.trim() === '';
      show(progress, running || isBusy(modelState));
      setText(imageName, input.imageName);
      imageName.title = input.imageName;
      setText(status, statusText(modelState, live));
      setText(modelButton, modelText(modelState));
      if (shownState !== modelState) {
        shownState = modelState;
        renderModelNotes(modelNotes, modelState);
      }
    },
  };
}

/** What a person should know of the model, then what it is and where it runs. */
function renderModelNotes(node: HTMLDetailsElement, state: ModelState): void {
  show(node, state.status === 'ready');
  if (state.status !== 'ready') return;
  const { model } = state;
  const { warnings, device } = model;
  const notes = warnings.length === 1 ? '1 note' : `${warnings.length} notes`;
  const graphs = Object.entries(model.dtypes).map(([graph, dtype]) => `${graph} ${dtype}`);
  const facts = [
    `${model.family}, ${formatAmount(model.parameters)} parameters`,
    graphs.join(', '),
    `Runs on ${device.device}, loaded in ${formatMs(model.loadMs)}.`,
    ...device.rejected.map((other) => `${other.device}: ${other.reason}`),
  ];
  node.replaceChildren(
    element('summary', {}, warnings.length === 0 ? 'Details' : notes),
    element(
      'div',
      { class: 'model-card' },
      ...warnings.map((text) => element('p', { class: 'note warning' }, icon('warning'), text)),
      ...facts.filter(Boolean).map((text) => element('p', { class: 'quiet' }, text)),
    ),
  );
}

function modelText(state: ModelState): string {
  switch (state.status) {
    case 'ready':
      return `${state.model.name} · ${state.model.device.device}`;
    case 'loading':
      return 'Loading the model…';
    case 'unloaded':
      return 'Model not loaded';
    case 'failed':
      return 'Model failed to load';
    default:
      return state satisfies never;
  }
}

function isBusy(state: ModelState): boolean {
  return state.status === 'loading' || (state.status === 'ready' && state.stopping);
}

function statusText(state: ModelState, live: LiveRun | null): string {
  if (state.status === 'loading') return state.message;
  if (!live) return isBusy(state) ? 'stopping' : '';
  const what = live.purpose === 'vanilla' ? 'Vanilla: ' : '';
  return `${what}${stageText(live)}`;
}

function stageText(live: LiveRun): string {
  switch (live.stage) {
    case null:
      return 'starting';
    case 'queued':
      return 'waiting for another run';
    case 'decodeImage':
      return 'reading the image';
    case 'vision':
      return 'encoding the image';
    case 'prefill':
      return 'prefill';
    case 'rollouts': {
      const ended = live.rollouts.filter((rollout) => rollout.result).length;
      const k = live.difficulty?.k;
      return k === undefined ? 'decoding' : `decoding, ${ended} of ${k} rollouts done`;
    }
    default:
      return live.stage satisfies never;
  }
}
