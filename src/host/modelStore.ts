/** The models in the extension's global storage. No `vscode` in it. */
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type DownloadPlan, planFile } from '../hub/downloadPlan';

export interface StoredModel {
  /** Absolute; of an unfinished one too, where it will be. */
  folder: string;
  /** What is being or was downloaded. */
  plan: DownloadPlan;
  finished: boolean;
}

const partialSuffix = '.partial';

export class ModelStore {
  constructor(private readonly root: string) {}

  /** Where a repository's variant belongs. */
  folderOf({ repository, dtype }: Pick<DownloadPlan, 'repository' | 'dtype'>): string {
    return join(this.root, `${repository.replace('/', '--')}--${dtype}`);
  }

  async list(): Promise<StoredModel[]> {
    const names = await readdir(this.root).catch(() => [] as string[]);
    const models = await Promise.all(names.map((name) => this.read(name)));
    return models.filter((model) => model !== undefined);
  }

  async remove({ folder }: StoredModel): Promise<void> {
    // Windows holds a model's files until the engine process that reads them has ended.
    const options = { recursive: true, force: true, maxRetries: 10 };
    await rm(folder, options);
    await rm(`${folder}${partialSuffix}`, options);
  }

  private async read(name: string): Promise<StoredModel | undefined> {
    const finished = !name.endsWith(partialSuffix);
    const folder = join(this.root, finished ? name : name.slice(0, -partialSuffix.length));
    try {
      const text = await readFile(join(this.root, name, planFile), 'utf8');
      return { folder, plan: JSON.parse(text) as DownloadPlan, finished };
    } catch {
      return undefined; // not a download
    }
  }
}
