import type { TextPart } from './text-part.js';

/** A sequence's place in a text: tokens are bytes `[start, start + numTokens)`, labels the bytes one further on. */
export interface Window {
  readonly start: number;
  /** At most the sequence length; the rest is padding. 0 makes a sequence of padding only. */
  readonly numTokens: number;
  /** First byte that the memory entering the sequence has seen, where steps carry it on; default: `start`. */
  readonly memoryStart?: number;
  /** Under the masked objective, whether the token at a position of the sequence is hidden and to be found. */
  readonly isHidden?: (position: number) => boolean;
}

/** Labels of a window: one for each token that is hidden or, if none can be, that is not the last of its document. */
export function numLabels({ documents }: TextPart, window: Window): number {
  const { start, numTokens, isHidden } = window;
  if (isHidden !== undefined) return numHidden(window);
  if (documents === null) return numTokens;
  return numTokens - documents.between(start + 1, start + numTokens + 1).length;
}

function numHidden({ numTokens, isHidden }: Window): number {
  let count = 0;
  for (let position = 0; position < numTokens; position++) if (isHidden?.(position)) count++;
  return count;
}
