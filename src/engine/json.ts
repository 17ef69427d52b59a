import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AvisError } from '../shared/errors';

export type JsonObject = Record<string, unknown>;

/**
 * Reads a JSON object of the checkpoint; null when there is no such file.
 * @throws {AvisError} 'badModel' when it can't be read or isn't a JSON object.
 */
export async function readJson(folder: string, file: string): Promise<JsonObject | null> {
  const text = await readText(folder, file);
  if (text === null) return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new AvisError(
      'badModel',
      `${file} of the checkpoint ${folder} isn't valid JSON: ${(error as Error).message}. Get the file again.`,
    );
  }
  if (!isObject(value)) {
    throw new AvisError('badModel', `${file} of the checkpoint ${folder} isn't a JSON object.`);
  }
  return value;
}

/** null when there is no such file. */
export async function readText(folder: string, file: string): Promise<string | null> {
  try {
    return await readFile(join(folder, file), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new AvisError(
      'badModel',
      `${file} of the checkpoint ${folder} can't be read: ${(error as Error).message}`,
      { cause: error },
    );
  }
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Typed access to a config whose errors name the file and the key. */
export class ConfigReader {
  constructor(
    private readonly values: JsonObject,
    private readonly file: string,
    private readonly path = '',
  ) {}

  has(key: string): boolean {
    return this.values[key] !== undefined && this.values[key] !== null;
  }

  /** The nested object, or an empty one when it is missing. */
  section(key: string): ConfigReader {
    const value = this.values[key];
    return new ConfigReader(isObject(value) ? value : {}, this.file, `${this.path}${key}.`);
  }

  number(key: string, fallback?: number): number {
    const value = this.values[key] ?? fallback;
    if (typeof value === 'number' && Number.isFinite(value)) return value;
    throw this.wrong(key, 'a number', value);
  }

  /** Bounds are inclusive. */
  numberWithin(key: string, { min, max }: { min: number; max: number }, fallback: number): number {
    const value = this.number(key, fallback);
    if (value >= min && value <= max) return value;
    throw this.wrong(key, `a number from ${min} to ${max}`, value);
  }

  string(key: string, fallback?: string): string {
    const value = this.values[key] ?? fallback;
    if (typeof value === 'string') return value;
    throw this.wrong(key, 'a string', value);
  }

  boolean(key: string, fallback: boolean): boolean {
    const value = this.values[key] ?? fallback;
    if (typeof value === 'boolean') return value;
    throw this.wrong(key, 'true or false', value);
  }

  /** A list of numbers; a single number counts as a list of one. */
  numbers(key: string, fallback?: number[]): number[] {
    const value = this.values[key] ?? fallback;
    if (typeof value === 'number') return [value];
    if (Array.isArray(value) && value.every((item) => typeof item === 'number')) return value;
    throw this.wrong(key, 'a list of numbers', value);
  }

  strings(key: string): string[] {
    const value = this.values[key];
    if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value;
    throw this.wrong(key, 'a list of strings', value);
  }

  private wrong(key: string, expected: string, value: unknown): AvisError {
    const got = value === undefined ? 'is missing' : `is ${JSON.stringify(value)?.slice(0, 60)}`;
    return new AvisError(
      'badModel',
      `${this.path}${key} in the checkpoint's ${this.file} ${got}; expected ${expected}.`,
    );
  }
}
