// A process that speaks the engine's protocol without an engine. What it does is named by the folder
// of loadModel and by the question of ask.
import { appendFileSync } from 'node:fs';

const send = (message) => process.send?.(message);
const canceled = new Map();

process.on('disconnect', () => {
  if (process.env.FAKE_ENGINE_DEAF !== '1') process.exit(0);
  setInterval(() => {}, 1000);
});

process.on('message', async ({ kind, id, request }) => {
  if (kind === 'cancel') {
    canceled.get(id)?.();
    return;
  }
  if (request.type === 'loadModel') {
    if (process.env.FAKE_ENGINE_STARTS) appendFileSync(process.env.FAKE_ENGINE_STARTS, 'load\n');
    send({ kind: 'progress', id, progress: { type: 'loadStage', message: 'Reading' } });
    if (request.folder === '/bad') {
      const error = { code: 'badModel', message: '/bad has no config.json.' };
      send({ kind: 'failure', id, error });
    } else if (request.folder === '/crash') process.exit(7);
    else if (request.folder !== '/slow') send({ kind: 'reply', id, value: modelInfo(request) });
    return;
  }
  if (request.type === 'previewImage') {
    send({ kind: 'reply', id, value: { png: request.image.bytes } });
    return;
  }
  const { question, image } = request;
  switch (question) {
    case 'crash':
      process.stderr.write('native trouble\n');
      process.exit(134);
      break;
    case 'killed':
      process.kill(process.pid, 'SIGKILL');
      break;
    case 'hang':
      return;
    case 'hang politely':
      canceled.set(id, () =>
        send({ kind: 'failure', id, error: { code: 'canceled', message: 'Canceled.' } }),
      );
      return;
    default:
      send({ kind: 'progress', id, progress: { type: 'askStage', stage: 'vision' } });
      send({ kind: 'reply', id, value: runResult(question, image) });
  }
});

function runResult(question, image) {
  return {
    question,
    bytes: image.bytes,
    visual: { kept: 1, total: 2 },
    rollouts: [],
    timing: { total: 1 },
    model: { device: 'cpu' },
  };
}

function modelInfo({ folder, device }) {
  return {
    name: folder.slice(1),
    folder,
    family: 'fake',
    warnings: [],
    policy: null,
    device: { device: device === 'auto' ? 'cpu' : device, rejected: [] },
    loadMs: 1,
  };
}
