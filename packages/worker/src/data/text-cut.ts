import { LongscanError } from '@longscan/kernels/errors';
import type { DocumentStarts } from './document-starts.js';
import { numBelow } from './num-below.js';
import { uniformDraws } from './permutation.js';
import type { TextPart } from './text-part.js';
import type { Window } from './window.js';

/** How a text is cut into sequences. */
export interface TextCut {
  /** In every epoch. */
  readonly numWindows: number;
  /** Window `index`, in the order of the text; epochs may cut elsewhere. */
  window(epoch: number, index: number): Window;
}

/**
 * Full windows, one after the other whatever documents they hold. Those of an epoch start at a random byte, as far as the
 * text is longer than a whole number of windows, so its tail is learned too. The text holds at least one window and its
 * last label.
 */
export function fullWindows(numBytes: number, sequenceLength: number, seed: number): TextCut {
  const numWindows = Math.floor((numBytes - 1) / sequenceLength);
  const spare = numBytes - 1 - numWindows * sequenceLength;
  return {
    numWindows,
    window(epoch, index) {
      const offset = uniformDraws(seed + epoch)(spare + 1);
      return { start: offset + index * sequenceLength, numTokens: sequenceLength };
    },
  };
}

/** Windows that together hold the whole text once; the last one may be shorter. */
export function allWindows(numBytes: number, sequenceLength: number): TextCut {
  return {
    numWindows: Math.ceil((numBytes - 1) / sequenceLength),
    window: (_epoch, index) => windowUpTo(numBytes - 1, index * sequenceLength, sequenceLength),
  };
}

/**
 * Windows that hold one document or, of a longer one, one part of it after the other; the last one may be shorter. A
 * document's last token has no label and is left out. @throws LongscanError E-DATA-EMPTY if no document has two tokens
 */
export function documentWindows(
  { path, numBytes }: Pick<TextPart, 'path' | 'numBytes'>,
  documents: DocumentStarts,
  sequenceLength: number,
): TextCut {
  const { numDocuments } = documents;
  const endOf = (index: number) => (index + 1 < numDocuments ? documents.startOf(index + 1) : numBytes);
  // Windows before each document, and of all.
  const before = new Float64Array(numDocuments + 1);
  for (let i = 0; i < numDocuments; i++) {
    before[i + 1] = before[i]! + Math.ceil((endOf(i) - documents.startOf(i) - 1) / sequenceLength);
  }
  const numWindows = before[numDocuments]!;
  if (numWindows === 0) throw noLabels(path);
  return {
    numWindows,
    window(_epoch, index) {
      // The last of those with as many before: the others have no window.
      const document = numBelow(before, index + 1) - 1;
      const start = documents.startOf(document) + (index - before[document]!) * sequenceLength;
      return windowUpTo(endOf(document) - 1, start, sequenceLength);
    },
  };
}

function windowUpTo(end: number, start: number, sequenceLength: number): Window {
  return { start, numTokens: Math.min(sequenceLength, end - start) };
}

function noLabels(path: string): LongscanError {
  return new LongscanError({
    code: 'E-DATA-EMPTY',
    where: path,
    found: 'no document of more than one token',
    expected: 'one that has something to read and something to predict',
    fix: 'name a text with longer documents',
    exitCode: 4,
  });
}
