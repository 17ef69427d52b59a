/** Images and configuration files through `vscode.workspace.fs`, with errors a person can act on. */
import * as vscode from 'vscode';
import { AvisError } from '../shared/errors';

const imageExtensions = ['png', 'jpg', 'jpeg', 'webp', 'gif', 'tif', 'tiff', 'avif', 'bmp'];
const maxImageBytes = 512 * 1024 * 1024;

export function fileName(uri: vscode.Uri): string {
  return uri.path.slice(uri.path.lastIndexOf('/') + 1);
}

export function isImage(uri: vscode.Uri): boolean {
  return imageExtensions.includes(extensionOf(uri));
}

/** Whether browsers have no decoder for it. */
export function needsPreview(uri: vscode.Uri): boolean {
  return ['tif', 'tiff'].includes(extensionOf(uri));
}

export function isConfigFile(uri: vscode.Uri): boolean {
  return uri.path.toLowerCase().endsWith('.avis.json');
}

function extensionOf(uri: vscode.Uri): string {
  return uri.path.slice(uri.path.lastIndexOf('.') + 1).toLowerCase();
}

export async function pickImages(): Promise<vscode.Uri[]> {
  const chosen = await vscode.window.showOpenDialog({
    title: 'Images to ask about',
    openLabel: 'Ask',
    canSelectMany: true,
    filters: { Images: imageExtensions },
  });
  return chosen ?? [];
}

/** @throws {AvisError} 'badInput' when there is no readable, non-empty file of a sensible size. */
export async function readImage(uri: vscode.Uri): Promise<{ name: string; bytes: Uint8Array }> {
  const name = fileName(uri);
  const bytes = await readFile(uri, maxImageBytes);
  if (bytes.length === 0) {
    throw new AvisError('badInput', `${name} is empty: choose another image.`);
  }
  return { name, bytes };
}

/** @throws {AvisError} 'badInput' with the reason. */
export async function readTextFile(uri: vscode.Uri): Promise<string> {
  return new TextDecoder().decode(await readFile(uri, 16 * 1024 * 1024));
}

async function readFile(uri: vscode.Uri, maxBytes: number): Promise<Uint8Array> {
  const name = fileName(uri);
  try {
    const { type, size } = await vscode.workspace.fs.stat(uri);
    if (type & vscode.FileType.Directory) {
      throw new AvisError('badInput', `${name} is a folder: choose a file.`);
    }
    if (size > maxBytes) {
      throw new AvisError(
        'badInput',
        `${name} has ${mebibytes(size)} MiB; at most ${mebibytes(maxBytes)} MiB are read.`,
      );
    }
    return await vscode.workspace.fs.readFile(uri);
  } catch (error) {
    if (error instanceof AvisError) throw error;
    throw new AvisError('badInput', `${name} can’t be read: ${reasonOf(error)}`, { cause: error });
  }
}

/** @throws {AvisError} 'badInput' with the reason; what was to be written is not lost. */
export async function writeTextFile(uri: vscode.Uri, text: string): Promise<void> {
  try {
    await vscode.workspace.fs.writeFile(uri, new TextEncoder().encode(text));
  } catch (error) {
    throw new AvisError(
      'badInput',
      `${fileName(uri)} can’t be written: ${reasonOf(error)} The run is still in the panel: export it again to another place, or copy it to the clipboard.`,
      { cause: error },
    );
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof vscode.FileSystemError) {
    switch (error.code) {
      case 'FileNotFound':
        return 'it doesn’t exist.';
      case 'NoPermissions':
        return 'there is no permission; check the file’s owner and mode.';
      case 'Unavailable':
        return 'the file system is not available; check the connection.';
    }
  }
  const message = error instanceof Error ? error.message : String(error);
  if (/EACCES|EPERM/.test(message)) return 'there is no permission; check its owner and mode.';
  if (/ENOSPC/.test(message)) return 'the disk is full.';
  return message.endsWith('.') ? message : `${message}.`;
}

function mebibytes(bytes: number): number {
  return Math.ceil(bytes / (1024 * 1024));
}
