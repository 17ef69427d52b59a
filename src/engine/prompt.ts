import { AvisError } from '../shared/errors';
import type { Checkpoint } from './checkpoint';
import type { Family, ImageLayout, PromptPositions } from './families/family';

/** A tokenized prompt, unpruned. */
export interface Prompt {
  ids: number[];
  positions: PromptPositions;
  /** Where in `ids` the visual tokens are, in the order of the images' features. */
  visualPlaces: number[];
}

/**
 * One user turn with the images and the question.
 * @throws {AvisError} 'badInput' for a question that is empty, too long or holds control tokens.
 */
export function buildPrompt(
  { codec }: Checkpoint,
  family: Family,
  images: readonly ImageLayout[],
  question: string,
  instruction: string,
): Prompt {
  if (question.trim() === '') throw new AvisError('badInput', 'The question is empty.');
  const rendered = codec.renderPrompt(images.length, question, instruction);
  const ids = codec.encode(family.expandImages(rendered, images));
  const visualPlaces = ids.flatMap((id, place) => (id === family.imageTokenId ? [place] : []));
  const expected = images.reduce((sum, { visualTokens }) => sum + visualTokens, 0);
  if (visualPlaces.length !== expected) {
    throw new AvisError(
      'badModel',
      `The prompt has ${visualPlaces.length} image tokens where ${expected} were expected. tokenizer.json doesn't belong to this config.json.`,
    );
  }
  if (ids.length >= family.maxPositions) {
    const room = family.maxPositions - expected;
    throw new AvisError(
      'badInput',
      `The question is too long: with the image it makes ${ids.length} tokens, and this model takes ${family.maxPositions}. Keep it under ${room} tokens (about ${room * 3} letters).`,
    );
  }
  return { ids, positions: family.positions(ids, images), visualPlaces };
}

/**
 * The prompt that is prefilled: text and kept visual tokens, each with the position that it has in the
 * unpruned prompt (avis.md §1).
 * @param embeddings of `prompt.ids`, [tokens, hidden]
 * @param features of all visual tokens, [visual tokens, hidden]
 * @param keep ascending indices of visual tokens
 */
export function prunePrompt(
  prompt: Prompt,
  embeddings: Float32Array,
  features: Float32Array,
  keep: readonly number[],
): { embeddings: Float32Array; positions: Int32Array[] } {
  const hiddenSize = embeddings.length / prompt.ids.length;
  const kept = new Set(keep);
  const visualIndex = new Map(prompt.visualPlaces.map((place, index) => [place, index]));
  const places = prompt.ids.flatMap((_, place) => {
    const index = visualIndex.get(place);
    return index === undefined || kept.has(index) ? [place] : [];
  });
  const pruned = new Float32Array(places.length * hiddenSize);
  places.forEach((place, i) => {
    const index = visualIndex.get(place);
    const [from, row] = index === undefined ? [embeddings, place] : [features, index];
    pruned.set(from.subarray(row * hiddenSize, (row + 1) * hiddenSize), i * hiddenSize);
  });
  const { axes } = prompt.positions;
  return {
    embeddings: pruned,
    positions: axes.map((axis) => Int32Array.from(places, (place) => axis[place]!)),
  };
}
