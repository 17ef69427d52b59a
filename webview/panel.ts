/** The panel's entry: messages in, the person's acts out, one PanelModel between them. */
import './panel.css';
import { whenChanged } from './dom';
import { createPage } from './page';
import {
  applyHostMessage,
  emptyModel,
  type PanelModel,
  type SavedPanel,
  shownRecord,
  stateToKeep,
} from './panelModel';
import type { HostMessage, PanelMessage, RunPurpose } from '../src/shared/panelProtocol';

const vscode = acquireVsCodeApi<SavedPanel>();
const post = (message: PanelMessage) => vscode.postMessage(message);

/** State of many runs is large: it is kept now and then, and only what has changed, not at each token. */
const keepDelayMs = 500;
const keepState = whenChanged((state: SavedPanel) => vscode.setState(state));

let model: PanelModel = emptyModel;
let saved = vscode.getState();
let renderPending = false;
let saveTimer: number | undefined;

const page = createPage({ update, ask, post });
(document.getElementById('root') ?? document.body).append(page.root);

/** Sets the model; the page follows in the next frame, the kept state soon after. */
function update(change: (model: PanelModel) => PanelModel): void {
  model = change(model);
  if (!renderPending) {
    renderPending = true;
    requestAnimationFrame(() => {
      renderPending = false;
      page.render(model);
    });
  }
  saveTimer ??= window.setTimeout(keep, keepDelayMs);
}

function keep(): void {
  window.clearTimeout(saveTimer);
  saveTimer = undefined;
  const state = stateToKeep(model);
  if (state) keepState(state);
}

function ask(purpose: RunPurpose): void {
  const vanillaOf = purpose === 'vanilla' ? shownRecord(model)?.result : undefined;
  const question = vanillaOf?.question ?? model.question.trim();
  const settings = vanillaOf?.settings ?? model.settings;
  if (!settings || question === '') return;
  if (purpose === 'run') {
    update((before) => ({ ...before, asked: [...before.asked, { question, settings }] }));
  }
  post({ type: 'ask', purpose, question, settings });
}

addEventListener('message', (event: MessageEvent<HostMessage>) => {
  const restoring = event.data.type === 'showSubject' ? saved : undefined;
  if (restoring) saved = undefined;
  update((before) => applyHostMessage(before, event.data, restoring));
  // A run must outlast a reload of the window that comes right after it.
  if (event.data.type === 'finishRun') keep();
});
// Leaving the panel may hide it at once, and a hidden page is gone.
for (const leaving of ['blur', 'pagehide']) addEventListener(leaving, keep);
// After a quick pick, VS Code gives the focus back to the page, not to the control that had it.
let lastFocused: EventTarget | null = null;
addEventListener('focusin', ({ target }) => (lastFocused = target));
addEventListener('focus', () => {
  if (document.activeElement !== document.body || !(lastFocused instanceof HTMLElement)) return;
  lastFocused.focus({ preventScroll: true });
});
post({ type: 'ready' });
