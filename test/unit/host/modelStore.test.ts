import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ModelStore } from '../../../src/host/modelStore';

describe('ModelStore', () => {
  let root: string;
  let store: ModelStore;

  beforeEach(() => {
    root = join(mkdtempSync(join(tmpdir(), 'avis-store-')), 'models');
    store = new ModelStore(root);
  });

  function add(name: string, repository: string, dtype: string): void {
    mkdirSync(join(root, name), { recursive: true });
    const plan = { repository, revision: 'sha', dtype, files: [], totalBytes: 7 };
    writeFileSync(join(root, name, 'avis-download.json'), JSON.stringify(plan));
  }

  it('lists whole and unfinished models, and nothing else', async () => {
    add('a--b--q4', 'a/b', 'q4');
    add('c--d--fp16.partial', 'c/d', 'fp16');
    mkdirSync(join(root, 'something'));
    const models = await store.list();
    const shown = models.map(({ folder, finished, plan }) => [folder, finished, plan.repository]);
    assert.deepEqual(shown.sort(), [
      [join(root, 'a--b--q4'), true, 'a/b'],
      [join(root, 'c--d--fp16'), false, 'c/d'],
    ]);
    for (const { plan, folder } of models) assert.equal(store.folderOf(plan), folder);
  });

  it('removes a model with all that belongs to it', async () => {
    add('c--d--fp16.partial', 'c/d', 'fp16');
    add('a--b--q4', 'a/b', 'q4');
    for (const model of await store.list()) await store.remove(model);
    assert.ok(!existsSync(join(root, 'a--b--q4')));
    assert.ok(!existsSync(join(root, 'c--d--fp16.partial')));
  });

  it('is empty before the first download', async () => {
    assert.deepEqual(await store.list(), []);
  });
});
