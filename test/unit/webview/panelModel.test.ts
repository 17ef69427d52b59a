import assert from 'node:assert/strict';
import type { HostMessage } from '../../../src/shared/panelProtocol';
import { noticeActions } from '../../../webview/noticeView';
import {
  applyHostMessage,
  comparedRecord,
  emptyModel,
  type PanelModel,
  selectLive,
  selectRun,
  shownLive,
  shownRecord,
  shownVisual,
  stateToKeep,
  toggleCompared,
} from '../../../webview/panelModel';
import { modelInfo, record, settingsWith, subject } from './fixtures';

function after(messages: HostMessage[], from: PanelModel = emptyModel): PanelModel {
  return messages.reduce((model, message) => applyHostMessage(model, message, undefined), from);
}

function start(id: number, part: Partial<Extract<HostMessage, { type: 'startRun' }>> = {}) {
  const question = 'How many?';
  const message: HostMessage = {
    type: 'startRun',
    id,
    purpose: 'run',
    question,
    settings: settingsWith(),
    ...part,
  };
  return message;
}

function progressOf(
  id: number,
  progress: Extract<HostMessage, { type: 'updateRun' }>['progress'],
): HostMessage {
  return { type: 'updateRun', id, progress };
}

const moved = settingsWith({ seed: 9 });

describe('panel model', () => {
  it('shows a subject with its runs, the latest run first', () => {
    const model = after([subject({ runs: [record(1), record(2)] })]);
    assert.equal(shownRecord(model)?.id, 2);
    assert.equal(model.question, 'What colour?');
    assert.deepEqual(shownVisual(model)?.image, { width: 40, height: 30 });
  });

  it('takes a picture that comes after the rest', () => {
    const image = { uri: 'file:///a.tif', webviewSrc: '', name: 'a.tif' };
    const model = after([
      subject({ image }),
      start(1),
      { type: 'showImage', webviewSrc: 'data:,' },
    ]);
    assert.deepEqual(model.subject, { ...image, webviewSrc: 'data:,' });
    assert.equal(model.live?.id, 1);
  });

  it('follows a run from start to end', () => {
    const { visual, difficulty, rollouts } = record(2).result;
    const running = after([
      subject({ runs: [record(1)] }),
      start(2),
      progressOf(2, { type: 'askStage', stage: 'rollouts' }),
      progressOf(2, { type: 'visual', image: { width: 40, height: 30 }, visual }),
      progressOf(2, { type: 'difficulty', difficulty }),
      progressOf(2, { type: 'rolloutText', index: 1, text: 'b', tokens: 1 }),
      progressOf(2, { type: 'rolloutText', index: 0, text: 'a', tokens: 1 }),
      progressOf(2, { type: 'rolloutText', index: 1, text: 'bc', tokens: 2 }),
      progressOf(2, { type: 'rolloutDone', rollout: rollouts[0]! }),
    ]);
    const live = shownLive(running)!;
    assert.equal(live.stage, 'rollouts');
    assert.deepEqual(
      live.rollouts.map(({ index, tokens, result }) => [index, tokens, result !== null]),
      [
        [0, 10, true],
        [1, 2, false],
      ],
    );
    const ended = after([{ type: 'finishRun', record: record(2) }], running);
    assert.equal(ended.live, null);
    assert.equal(shownRecord(ended)?.id, 2);
  });

  it('hears nothing of a run that a newer one took the place of', () => {
    const model = after([
      subject(),
      start(1),
      start(2),
      { type: 'updateRun', id: 1, progress: { type: 'askStage', stage: 'vision' } },
      { type: 'failRun', id: 1, error: { code: 'superseded', message: 'newer' } },
    ]);
    assert.equal(model.live?.id, 2);
    assert.equal(model.live?.stage, null);
    assert.equal(model.notice, null);
  });

  it('tells of a failure and loses no run', () => {
    const error = { code: 'engineStopped', message: 'gone' } as const;
    const model = after([
      subject({ runs: [record(1)] }),
      start(2),
      { type: 'failRun', id: 2, error },
    ]);
    assert.deepEqual(model.notice, { kind: 'error', error });
    assert.equal(model.live, null);
    assert.equal(shownRecord(model)?.id, 1);
    assert.equal(after([start(3)], model).notice, null);
  });

  it('says nothing of a run that the person stopped', () => {
    const error = { code: 'canceled', message: 'Canceled.' } as const;
    assert.equal(after([subject(), start(1), { type: 'failRun', id: 1, error }]).notice, null);
  });

  it('keeps the shown run while vanilla is measured', () => {
    const model = after([
      subject({ runs: [record(1)] }),
      start(2, { purpose: 'vanilla', settings: moved }),
    ]);
    assert.equal(shownLive(model), null);
    assert.equal(shownRecord(model)?.id, 1);
    assert.notDeepEqual(model.settings, moved);
    const done = after([{ type: 'finishRun', record: record(2, { purpose: 'vanilla' }) }], model);
    assert.equal(shownRecord(done)?.id, 1);
  });
});

describe('draft of question and levers', () => {
  it('follows a run that was started elsewhere', () => {
    const model = after([subject(), start(1, { settings: moved })]);
    assert.equal(model.question, 'How many?');
    assert.deepEqual(model.settings, moved);
  });

  it('is not undone by the starts of the panel’s own runs', () => {
    const asked = [settingsWith({ seed: 7 }), settingsWith({ seed: 8 })].map((settings) => ({
      question: 'How many?',
      settings,
    }));
    const draft: PanelModel = {
      ...after([subject()]),
      asked,
      settings: moved,
      question: 'How man',
    };
    const first = after([start(1, { settings: asked[0]!.settings })], draft);
    const second = after([start(2, { settings: asked[1]!.settings })], first);
    for (const model of [first, second]) {
      assert.deepEqual(model.settings, moved);
      assert.equal(model.question, 'How man');
    }
    assert.deepEqual(second.asked, []);
  });

  it('survives a reload, unless the host names something newer', () => {
    const before: PanelModel = { ...after([subject()]), settings: moved, question: 'Draft' };
    const saved = stateToKeep(before)!;
    const same = applyHostMessage(emptyModel, subject(), saved);
    assert.deepEqual(same.settings, moved);
    assert.equal(same.question, 'Draft');
    const imported = settingsWith({ topP: 0.5 });
    const message = subject({ settings: imported, question: 'New?' });
    const newer = applyHostMessage(emptyModel, message, saved);
    assert.deepEqual(newer.settings, imported);
    assert.equal(newer.question, 'New?');
  });

  it('survives being hidden in mid-run, and the run is on show again', () => {
    const running = after([subject(), start(1)]);
    const saved = stateToKeep({ ...running, settings: moved, question: 'Draft' })!;
    const named = subject({ question: 'How many?' });
    const back = after([start(1)], applyHostMessage(emptyModel, named, saved));
    assert.equal(shownLive(back)?.question, 'How many?');
    assert.deepEqual(back.settings, moved);
    assert.equal(back.question, 'Draft');
  });

  it('knows the model that was loaded before, until another is', () => {
    const saved = stateToKeep(after([subject()]))!;
    const unloaded = subject({ model: { status: 'unloaded' } });
    const model = applyHostMessage(emptyModel, unloaded, saved);
    assert.equal(model.knownModel?.name, 'tiny');
    const other = { ...modelInfo, name: 'other' };
    const updated = after(
      [{ type: 'updateModel', model: { status: 'ready', model: other, stopping: false } }],
      model,
    );
    assert.equal(updated.knownModel?.name, 'other');
  });

  it('of another image is not taken', () => {
    const saved = {
      ...stateToKeep(after([subject()]))!,
      image: 'file:///b.png',
      question: 'Draft',
    };
    assert.equal(applyHostMessage(emptyModel, subject(), saved).question, 'What colour?');
  });

  it('takes an imported configuration and says so', () => {
    const model = after([
      subject(),
      { type: 'applySettings', settings: moved, autoRun: false, note: 'Applied x.avis.json.' },
    ]);
    assert.deepEqual(model.settings, moved);
    assert.equal(model.autoRun, false);
    assert.deepEqual(model.notice, { kind: 'info', text: 'Applied x.avis.json.' });
  });
});

describe('selection', () => {
  const model = after([
    subject({
      runs: [record(1, { settings: moved, question: 'First?' }), record(2), record(3)],
    }),
  ]);

  it('brings a run’s levers and question back', () => {
    const selected = selectRun(model, 1);
    assert.equal(shownRecord(selected)?.id, 1);
    assert.deepEqual(selected.settings, moved);
    assert.equal(selected.question, 'First?');
    assert.equal(selectRun(model, 99), model);
  });

  it('puts two runs side by side and apart again', () => {
    const compared = toggleCompared(model, 1);
    assert.equal(shownRecord(compared)?.id, 3);
    assert.equal(comparedRecord(compared)?.id, 1);
    assert.equal(comparedRecord(toggleCompared(compared, 1)), null);
    assert.equal(comparedRecord(selectRun(compared, 1)), null);
    assert.equal(toggleCompared(model, 3), model);
    assert.equal(toggleCompared(model, NaN), model); // the row of a run in progress
  });

  it('of a run that is gone is dropped', () => {
    const view = { selectedRun: 9, comparedRun: 2, overlayOpacity: 0.3 };
    const shown = after([subject({ runs: [record(2)], view })]);
    assert.deepEqual(shown.view, { selectedRun: null, comparedRun: 2, overlayOpacity: 0.3 });
  });

  it('turns back to the run in progress', () => {
    const running = after([start(4, { settings: settingsWith({ seed: 1 }) })], model);
    const looking = selectRun(running, 1);
    assert.equal(shownLive(looking), null);
    const back = selectLive(looking);
    assert.equal(shownLive(back)?.id, 4);
    assert.equal(back.settings?.seed, 1);
    assert.equal(back.question, 'How many?');
    assert.equal(selectLive(model), model);
  });

  it('gives way to a new run', () => {
    const started = after([start(4)], toggleCompared(selectRun(model, 1), 2));
    assert.equal(shownLive(started)?.id, 4);
    assert.equal(comparedRecord(started), null);
  });
});

describe('message bar', () => {
  it('offers what helps', () => {
    assert.deepEqual(noticeActions('engineStopped'), ['retry', 'showLog']);
    assert.deepEqual(noticeActions('badModel'), ['chooseModel', 'showLog']);
    assert.deepEqual(noticeActions('canceled'), []);
  });
});
