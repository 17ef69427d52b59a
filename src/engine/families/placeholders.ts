import { AvisError } from '../../shared/errors';

/**
 * Puts the text of each image in place of the chat template's placeholder.
 * @throws {AvisError} 'badModel' where the template places another number of images.
 */
export function replacePlaceholders(
  prompt: string,
  placeholder: string,
  texts: readonly string[],
): string {
  const parts = prompt.split(placeholder);
  if (parts.length !== texts.length + 1) {
    throw new AvisError(
      'badModel',
      `The checkpoint's chat template places ${parts.length - 1} images where ${texts.length} were given.`,
    );
  }
  return parts.reduce((text, part, i) => text + texts[i - 1]! + part);
}
