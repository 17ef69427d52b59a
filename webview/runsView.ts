/** Every run of this image: choose one to see it again, a second one to compare; export. */
import { createRunsChart } from './charts';
import { element, freeId, section, setText, show, whenChanged } from './dom';
import { icon } from './icons';
import { agreementOf } from './runFigures';
import { comparisonRows, describeRun, type RunRow } from './runRows';
import { computeWithVanilla } from '../src/avis/measuredVanilla';
import type { RunRecord } from '../src/shared/panelProtocol';

export interface RunsInput {
  runs: readonly RunRecord[];
  /** The run in progress, in words. */
  live: string | null;
  /** It is the one on show; `shown` is the latest that has ended then. */
  liveShown: boolean;
  shown: RunRecord | null;
  compared: RunRecord | null;
}

export interface RunsActions {
  select(id: number): void;
  /** Turns back to the run in progress. */
  selectLive(): void;
  compare(id: number): void;
  export(runId: number, to: 'file' | 'clipboard' | 'flags'): void;
}

const columns: [key: keyof RunRow, title: string, explanation: string][] = [
  ['ratio', 'ρ', 'Share of visual tokens pruned'],
  ['kept', 'kept', 'Visual tokens kept'],
  ['k', 'K', 'Rollouts'],
  ['answer', 'answer', 'Majority answer'],
  ['agreement', 'agree', 'Rollouts for the majority answer, of those that finished'],
  ['cost', 'cost', 'Operations over vanilla’s, without the vision encoder'],
  ['time', 'time', 'Without loading the model'],
];

export function createRunsView(actions: RunsActions) {
  const body = element('tbody');
  const head = element('thead', {}, element('tr', {}, element('th', { scope: 'col' }, '#')));
  for (const [key, title, explanation] of columns) {
    head.rows[0]?.append(element('th', { scope: 'col', class: key, title: explanation }, title));
  }
  const compareTitle = element('span', { class: 'visually-hidden' }, 'compare');
  head.rows[0]?.append(element('th', { scope: 'col' }, compareTitle));
  const hint = element(
    'p',
    { class: 'table-hint', id: freeId('hint') },
    '↑ ↓ move · Enter shows · C compares',
  );
  const table = element(
    'table',
    { class: 'runs-table', 'aria-label': 'Runs', 'aria-describedby': hint.id },
    head,
    body,
  );
  const chart = createRunsChart((id) => actions.select(id));
  const differences = element('div', { class: 'differences', hidden: true });
  const exportTarget = element('span', { class: 'quiet' });
  const exportButtons = (
    [
      ['file', 'Save JSON…', 'Save this run’s configuration as *.avis.json'],
      ['clipboard', 'Copy JSON', 'Copy this run’s configuration'],
      [
        'flags',
        'Copy reference flags',
        'Copy the same settings as command-line flags of the reference',
      ],
    ] as const
  ).map(([to, label, title]) => {
    const button = element('button', { type: 'button', class: 'secondary', title }, label);
    button.addEventListener('click', () => {
      if (shownId !== null) actions.export(shownId, to);
    });
    return button;
  });
  const content = element(
    'div',
    {},
    element('div', { class: 'table-holder' }, table),
    hint,
    differences,
    chart.root,
    element('div', { class: 'export' }, exportTarget, ...exportButtons),
  );
  const empty = element('p', { class: 'quiet' }, 'Runs of this image will be listed here.');
  const root = section('runs', 'Runs', content, empty);
  let shownId: number | null = null;

  // Tab goes from a row to its own button, and then on: not through the buttons of all rows.
  body.addEventListener('focusin', (event) => {
    const row = (event.target as HTMLElement).closest('tr');
    for (const button of body.querySelectorAll('button')) {
      button.tabIndex = row?.contains(button) ? 0 : -1;
    }
  });
  body.addEventListener('keydown', (event) => {
    const row = (event.target as HTMLElement).closest<HTMLElement>('tr[data-id]');
    if (!row || event.target !== row) return;
    const rows = [...body.querySelectorAll<HTMLElement>('tr[data-id]')];
    const at = rows.indexOf(row);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (to !== undefined) rows[Math.min(Math.max(to, 0), rows.length - 1)]?.focus();
    else if (event.key === 'Enter' || event.key === ' ') row.click();
    else if (event.key.toLowerCase() === 'c' && !event.ctrlKey && !event.metaKey) {
      actions.compare(Number(row.dataset['id']));
    } else return;
    event.preventDefault();
  });

  const render = whenChanged((input: RunsInput) => {
    const { runs, live, shown, compared } = input;
    show(content, runs.length > 0);
    show(empty, runs.length === 0);
    shownId = shown?.id ?? null;
    if (runs.length === 0) return;
    const focused = (document.activeElement as HTMLElement | null)?.closest<HTMLElement>(
      'tr[data-id]',
    )?.dataset['id'];
    const inButton = document.activeElement instanceof HTMLButtonElement;
    body.replaceChildren();
    const questions = [...new Set(runs.map((run) => run.result.question))];
    for (const question of questions) {
      if (questions.length > 1) {
        const cell = element('th', {
          scope: 'colgroup',
          colspan: columns.length + 2,
          dir: 'auto',
        });
        setText(cell, question);
        body.append(element('tr', { class: 'question-heading' }, cell));
      }
      for (const run of runs.filter((other) => other.result.question === question)) {
        body.append(createRow(run, input, actions));
      }
    }
    if (live !== null) body.append(createLiveRow(live, input.liveShown, actions));
    if (focused !== undefined) {
      const row = body.querySelector<HTMLElement>(`tr[data-id="${CSS.escape(focused)}"]`);
      (inButton ? row?.querySelector('button') : row)?.focus();
    }
    renderDifferences(differences, input);
    const points = runs.map((run) => ({
      id: run.id,
      cost: 1 - computeWithVanilla(run, runs).saved,
      agreement: agreementOf(run.result.vote, run.result.rollouts).share,
      mark:
        run.id === shown?.id
          ? ('shown' as const)
          : run.id === compared?.id
            ? ('compared' as const)
            : run.purpose === 'vanilla'
              ? ('vanilla' as const)
              : ('other' as const),
    }));
    const spoken = points.map(
      ({ id, cost, agreement }) =>
        `#${id}: cost ${Math.round(cost * 100)} % of vanilla, agreement ${Math.round(agreement * 100)} %.`,
    );
    chart.render(points, `Cost against agreement. ${spoken.join(' ')}`);
    setText(exportTarget, shown ? `Configuration of #${shown.id}` : '');
  });
  return { root, render };
}

function createLiveRow(text: string, shown: boolean, actions: RunsActions): HTMLElement {
  const row = element(
    'tr',
    { 'data-id': 'live', class: shown ? 'shown' : '', tabindex: shown ? 0 : -1 },
    element('td', { colspan: columns.length + 2, class: 'running' }, text),
  );
  row.addEventListener('click', () => actions.selectLive());
  return row;
}

function createRow(
  run: RunRecord,
  { runs, liveShown, shown, compared }: RunsInput,
  actions: RunsActions,
): HTMLElement {
  const texts = describeRun(run, computeWithVanilla(run, runs));
  const isShown = !liveShown && run.id === shown?.id;
  const isCompared = run.id === compared?.id;
  const compareLabel = isCompared ? `Stop comparing #${run.id}` : `Compare #${run.id}`;
  const compareButton = element(
    'button',
    {
      type: 'button',
      class: 'icon-button',
      title: `${compareLabel} (C)`,
      'aria-label': compareLabel,
      tabindex: -1,
      'aria-pressed': String(isCompared),
      disabled: isShown,
    },
    icon('compare'),
  );
  compareButton.addEventListener('click', (event) => {
    event.stopPropagation();
    actions.compare(run.id);
  });
  const className = isShown ? 'shown' : isCompared ? 'compared' : '';
  const row = element(
    'tr',
    {
      'data-id': run.id,
      class: className,
      tabindex: isShown ? 0 : -1,
      'aria-current': isShown ? 'true' : null,
      title: new Date(run.startedAt).toLocaleTimeString(),
    },
    element(
      'th',
      { scope: 'row' },
      run.purpose === 'vanilla' ? element('span', { class: 'key vanilla' }) : null,
      String(run.id),
    ),
    ...columns.map(([key]) => {
      const cell = element('td', { class: key, dir: key === 'answer' ? 'auto' : null }, texts[key]);
      if (key === 'answer') cell.title = texts[key];
      if (key === 'answer' && run.purpose === 'vanilla') {
        cell.prepend(element('span', { class: 'badge' }, 'vanilla'), ' ');
      }
      return cell;
    }),
    element('td', { class: 'act' }, compareButton),
  );
  row.addEventListener('click', (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) actions.compare(run.id);
    else actions.select(run.id);
  });
  return row;
}

/** Both runs side by side; what differs is marked. */
function renderDifferences(node: HTMLElement, { runs, shown, compared }: RunsInput): void {
  show(node, shown !== null && compared !== null);
  node.replaceChildren();
  if (!shown || !compared) return;
  const first = comparisonRows(shown, computeWithVanilla(shown, runs));
  const second = comparisonRows(compared, computeWithVanilla(compared, runs));
  const rows = first.map(([name, value], index) => {
    const other = second[index]?.[1] ?? '';
    if (name === 'question' && value === other) return '';
    return element(
      'tr',
      { class: value === other ? 'same' : 'differs' },
      element('th', { scope: 'row' }, name),
      element('td', { dir: 'auto' }, value),
      element('td', { dir: 'auto' }, other),
    );
  });
  node.append(
    element(
      'table',
      { class: 'figures', 'aria-label': `Run ${shown.id} beside run ${compared.id}` },
      element(
        'tr',
        {},
        element('td', {}),
        element('th', { scope: 'col', class: 'first' }, `#${shown.id}`),
        element('th', { scope: 'col', class: 'second' }, `#${compared.id}`),
      ),
      ...rows,
    ),
  );
}
