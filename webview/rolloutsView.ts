/** Each rollout: its answer and whether it agrees, what it cost, its reasoning as it streams. */
import { element, section, setText, show, whenChanged } from './dom';
import { formatCount, formatMs } from './format';
import { icon, type IconName } from './icons';
import type { LiveRollout } from './panelModel';
import { reasoningOf } from './runFigures';

export interface RolloutsInput {
  /** Changes when another run is shown: then every reasoning is collapsed again. */
  runId: number | null;
  rollouts: readonly LiveRollout[];
  /** Rollouts to come, when K is known already. */
  expected: number;
  majority: string | null;
  running: boolean;
}

type Agreement = 'agrees' | 'disagrees' | 'abstains' | 'stopped' | 'running' | 'waiting';

const agreementIcons: Record<Agreement, IconName | null> = {
  agrees: 'check',
  disagrees: 'cross',
  abstains: 'dash',
  stopped: 'stop',
  running: null,
  waiting: null,
};
const agreementWords: Record<Agreement, string> = {
  agrees: 'agrees with the majority',
  disagrees: 'disagrees with the majority',
  abstains: 'abstains: it gave no answer',
  stopped: 'stopped early: it could not change the vote',
  running: 'decoding',
  waiting: 'waiting',
};

export function createRolloutsView(voteChart: HTMLElement) {
  const list = element('ol', { class: 'rollouts' });
  const empty = element('p', { class: 'quiet' }, 'No rollouts yet.');
  const root = section('rollouts', 'Rollouts', voteChart, list, empty);
  const rows = new Map<number, ReturnType<typeof createRow>>();
  let shownRun: number | null = null;

  return {
    root,
    render: whenChanged(({ runId, rollouts, expected, majority, running }: RolloutsInput) => {
      if (runId !== shownRun) {
        shownRun = runId;
        rows.clear();
        list.replaceChildren();
      }
      const byIndex = new Map(rollouts.map((rollout) => [rollout.index, rollout]));
      const highest = Math.max(-1, ...byIndex.keys());
      const count = Math.max(highest + 1, running ? expected : 0);
      for (let index = 0; index < count; index += 1) {
        let row = rows.get(index);
        if (!row) {
          row = createRow(index);
          rows.set(index, row);
          list.append(row.root);
        }
        row.render(byIndex.get(index) ?? null, majority);
      }
      for (const [index, row] of rows) {
        if (index < count) continue;
        row.root.remove();
        rows.delete(index);
      }
      show(empty, count === 0);
      show(list, count > 0);
    }),
  };
}

function createRow(index: number) {
  const mark = element('span', { class: 'rollout-mark' });
  const answer = element('span', { class: 'rollout-answer', dir: 'auto' });
  const figures = element('span', { class: 'rollout-figures' });
  const reasoning = element('div', { class: 'reasoning', dir: 'auto', tabindex: '0' });
  const details = element(
    'details',
    {},
    element(
      'summary',
      {},
      icon('chevron'),
      element('span', { class: 'rollout-number' }, String(index + 1)),
      mark,
      answer,
      figures,
    ),
    reasoning,
  );
  reasoning.setAttribute('aria-label', `Reasoning of rollout ${index + 1}`);
  reasoning.setAttribute('role', 'region');
  let shownAgreement: Agreement | null = null;

  const render = (rollout: LiveRollout | null, majority: string | null) => {
    const agreement = agreementOfRollout(rollout, majority);
    if (agreement !== shownAgreement) {
      shownAgreement = agreement;
      const name = agreementIcons[agreement];
      mark.className = `rollout-mark ${agreement}`;
      mark.title = agreementWords[agreement];
      const word = element('span', { class: 'visually-hidden' }, agreementWords[agreement]);
      mark.replaceChildren(
        ...(name ? [icon(name)] : rollout ? [element('span', { class: 'pulse' })] : []),
        word,
      );
    }
    setText(answer, answerText(rollout));
    answer.classList.toggle('quiet', typeof rollout?.result?.answer !== 'string');
    setText(figures, figuresText(rollout));
    const written = writtenBy(rollout);
    if (reasoning.textContent === written) return;
    const followsEnd =
      details.open && reasoning.scrollTop + reasoning.clientHeight >= reasoning.scrollHeight - 4;
    reasoning.textContent = written;
    if (followsEnd && !rollout?.result) reasoning.scrollTop = reasoning.scrollHeight;
  };
  return { root: element('li', {}, details), render };
}

/** The reasoning; all that was written where no answer could be found in it. */
function writtenBy(rollout: LiveRollout | null): string {
  if (!rollout?.result) return (rollout && reasoningOf(rollout.text)) || 'Nothing decoded yet.';
  const { answer, text } = rollout.result;
  if (answer === null) return text.trim() || 'Nothing was written.';
  return reasoningOf(text) || 'No reasoning was written.';
}

function agreementOfRollout(rollout: LiveRollout | null, majority: string | null): Agreement {
  if (!rollout) return 'waiting';
  const { result } = rollout;
  if (!result) return 'running';
  if (result.stopped === 'earlyStop') return 'stopped';
  if (result.answer === null) return 'abstains';
  return result.answer === majority ? 'agrees' : 'disagrees';
}

function answerText(rollout: LiveRollout | null): string {
  if (!rollout) return 'waiting';
  if (!rollout.result) return 'decoding…';
  const { answer, stopped } = rollout.result;
  if (answer !== null) return answer;
  if (stopped === 'earlyStop') return 'stopped early';
  return stopped === 'maxNewTokens' ? 'cut at the limit' : 'no answer';
}

function figuresText(rollout: LiveRollout | null): string {
  if (!rollout) return '';
  const tokens = `${formatCount(rollout.tokens)} tok`;
  return rollout.result ? `${tokens} · ${formatMs(rollout.result.elapsedMs)}` : tokens;
}
