/** The message bar: what happened, and what can be done about it. */
import { element, setText, show, whenChanged } from './dom';
import { icon, iconButton } from './icons';
import type { Notice } from './panelModel';
import type { ErrorCode } from '../src/shared/errors';

export type NoticeAction = 'retry' | 'chooseModel' | 'showLog';

const labels: Record<NoticeAction, string> = {
  retry: 'Retry',
  chooseModel: 'Choose Model…',
  showLog: 'Show Log',
};

/** What helps with which failure; the first is the likeliest. */
export function noticeActions(code: ErrorCode): NoticeAction[] {
  switch (code) {
    case 'badInput':
      return ['showLog'];
    case 'badModel':
      return ['chooseModel', 'showLog'];
    case 'outOfMemory':
    case 'device':
      return ['retry', 'chooseModel', 'showLog'];
    case 'engineStopped':
    case 'internal':
      return ['retry', 'showLog'];
    case 'canceled':
    case 'superseded':
      return [];
    default:
      return code satisfies never;
  }
}

export function createNoticeView(actions: { act(action: NoticeAction): void; dismiss(): void }) {
  const mark = element('span', { class: 'notice-mark' });
  const text = element('span', { class: 'notice-text' });
  const buttons = element('span', { class: 'notice-actions' });
  const close = iconButton('cross', 'Dismiss', () => actions.dismiss());
  const bar = element('div', { class: 'notice', hidden: true }, mark, text, buttons, close);
  const root = element('div', { role: 'alert' }, bar);

  const render = whenChanged(({ notice }: { notice: Notice | null }) => {
    show(bar, notice !== null);
    if (!notice) return;
    const isError = notice.kind === 'error';
    bar.classList.toggle('error', isError);
    mark.replaceChildren(icon(isError ? 'warning' : 'info'));
    setText(text, isError ? notice.error.message : notice.text);
    const offered = isError ? noticeActions(notice.error.code) : [];
    buttons.replaceChildren(
      ...offered.map((action) => {
        const button = element('button', { type: 'button', class: 'secondary' }, labels[action]);
        button.addEventListener('click', () => actions.act(action));
        return button;
      }),
    );
  });
  return { root, render };
}
