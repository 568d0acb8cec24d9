import type { TextPart } from './text-part.js';

/** A sequence's place in a text: tokens are bytes `[start, start + numTokens)`, labels the bytes one further on. */
export interface Window {
  readonly start: number;
  /** At most the sequence length; the rest is padding. 0 makes a sequence of padding only. */
  readonly numTokens: number;
  /** First byte that the memory entering the sequence has seen, where steps carry it on; default: `start`. */
  readonly memoryStart?: number;
}

/** Labels of a window: one for each token that is not the last of its document. */
export function numLabels({ documents }: TextPart, { start, numTokens }: Window): number {
  if (documents === null) return numTokens;
  return numTokens - documents.between(start + 1, start + numTokens + 1).length;
}
