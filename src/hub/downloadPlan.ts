/** Which files of a repository are needed to run it, for one dtype variant of its decoder. */
import { type Dtype, dtypeSuffixes, graphFileName } from '../shared/dtypes';
import { AvisError } from '../shared/errors';
import { predictMemory } from '../shared/memory';

export interface RepositoryFile {
  /** Relative, with forward slashes. */
  path: string;
  sizeBytes: number;
  /** SHA-256 (hex) of the content for large files, the Git blob's SHA-1 for the others. */
  checksum: { kind: 'sha256' | 'gitBlob'; hex: string };
}

export interface DownloadPlan {
  /** Hugging Face id, OWNER/NAME. */
  repository: string;
  /** The commit that every file is taken from, so that a resumed download never mixes two. */
  revision: string;
  dtype: string;
  files: RepositoryFile[];
  totalBytes: number;
}

/** Where a download notes its plan, in the model's own folder. */
export const planFile = 'avis-download.json';

/** Coarse weights distort the keys that visual tokens are scored by, so the vision tower comes finer. */
const visionOrder = ['fp16', 'fp32', 'int8', 'uint8', 'quantized', 'q4f16', 'q4', 'bnb4'];
const safePath = /^(?!.*(^|\/)\.\.?(\/|$))[\w.+-]+(\/[\w.+-]+)*$/;

/** The dtype variants that the repository has a decoder for. */
export function listDtypes(files: readonly RepositoryFile[]): string[] {
  return Object.keys(dtypeSuffixes).filter((dtype) =>
    hasGraph(files, 'decoder_model_merged', dtype),
  );
}

/**
 * @throws {AvisError} 'badModel' when a needed file is missing or a path leaves the folder.
 */
export function planDownload(
  repository: string,
  revision: string,
  files: readonly RepositoryFile[],
  dtype: string,
): DownloadPlan {
  const chosen = [
    ...files.filter(({ path }) => isDescription(path)),
    ...graphFiles(
      repository,
      files,
      'vision_encoder',
      dtype === 'fp32' ? [dtype, ...visionOrder] : visionOrder,
    ),
    ...graphFiles(repository, files, 'embed_tokens', [dtype, ...visionOrder]),
    ...graphFiles(repository, files, 'decoder_model_merged', [dtype]),
  ];
  for (const name of ['config.json', 'tokenizer.json']) {
    if (!chosen.some(({ path }) => path === name)) throw notACheckpoint(repository, name);
  }
  const unsafe = chosen.find(({ path }) => !safePath.test(path));
  if (unsafe) {
    throw new AvisError(
      'badModel',
      `${repository} has a file named ${JSON.stringify(unsafe.path)}, which can’t be stored safely. Choose another model.`,
    );
  }
  const totalBytes = chosen.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  return { repository, revision, dtype, files: chosen, totalBytes };
}

/** What a loaded model takes in memory, roughly. */
export function estimateMemoryBytes({ files }: Pick<DownloadPlan, 'files'>): number {
  const graphs = files.filter(({ path }) => path.startsWith('onnx/'));
  return predictMemory(graphs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0));
}

/**
 * Configuration, tokenizer and templates in the top folder, the policy in avis/. A repository's file in
 * the place of our notes would say what to remove, so it is left out, however a disk compares names.
 */
function isDescription(path: string): boolean {
  if (path.toLowerCase() === planFile) return false;
  if (path.startsWith('avis/')) return true;
  return !path.includes('/') && /\.(json|jinja|txt|model)$|^LICEN[CS]E/i.test(path);
}

function hasGraph(files: readonly RepositoryFile[], graph: string, dtype: string): boolean {
  return files.some(({ path }) => path === graphPath(graph, dtype));
}

function graphFiles(
  repository: string,
  files: readonly RepositoryFile[],
  graph: string,
  dtypes: string[],
): RepositoryFile[] {
  const dtype = dtypes.find((candidate) => hasGraph(files, graph, candidate));
  if (dtype === undefined) throw notACheckpoint(repository, `onnx/${graph}.onnx`);
  const path = graphPath(graph, dtype);
  return files.filter((file) => file.path === path || file.path.startsWith(`${path}_data`));
}

function graphPath(graph: string, dtype: string): string {
  return `onnx/${graphFileName(graph, dtype as Dtype)}`;
}

function notACheckpoint(repository: string, missing: string): AvisError {
  return new AvisError(
    'badModel',
    `${repository} has no ${missing}: it isn’t a vision-language model in the Hugging Face ONNX layout. Choose a repository with an onnx folder.`,
  );
}
