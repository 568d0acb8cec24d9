import { type Batch, type BatchOptions, checkVocab, ignoredLabel } from './batch.js';
import type { DocumentStarts } from './document-starts.js';
import type { Window } from './window.js';

export interface MaskedBatchOptions extends BatchOptions {
  /** Tokens of a sequence with the padding at its end. */
  readonly paddedLength: number;
}

/**
 * Cuts this rank's slice out of every window as the masked objective has it: a hidden token becomes the mask, token
 * `vocabSize`, and its own label; others have no label. Padding is a document of its own, since what runs against time would
 * read it first. @throws LongscanError E-DATA-VOCAB as `sliceBatch`
 */
export function maskedBatch(options: MaskedBatchOptions): Batch {
  const { text, windows, slice, vocabSize, numValidTokens, packing, paddedLength } = options;
  const documents = packing ? text.documents : null;
  const shape = windows.length * slice.length;
  const tokens = new Int32Array(shape);
  const labels = new Int32Array(shape).fill(ignoredLabel);
  // The same on all ranks that hold these sequences: they must send each other the same things.
  const hasBoundaries = documents !== null || windows.some(({ numTokens }) => numTokens < paddedLength);
  const [resets, ends] = hasBoundaries ? [new Int32Array(shape), new Int32Array(shape)] : [null, null];
  const [openTokens, laterTokens] = hasBoundaries
    ? [new Int32Array(windows.length), new Int32Array(windows.length)]
    : [null, null];
  windows.forEach((window, b) => {
    const row = b * slice.length;
    const start = window.start + slice.start;
    const numTokens = Math.min(slice.length, window.numTokens - slice.start);
    const bytes = numTokens > 0 ? text.read(start, numTokens) : new Uint8Array();
    checkVocab(bytes, vocabSize, text, start);
    bytes.forEach((byte, i) => {
      const isHidden = window.isHidden?.(slice.start + i) ?? false;
      tokens[row + i] = isHidden ? vocabSize : byte;
      if (isHidden) labels[row + i] = byte;
    });
    if (!hasBoundaries) return;
    const firsts = firstTokens(window, documents, paddedLength);
    for (const first of firsts) {
      const at = first - slice.start;
      if (at >= 0 && at < slice.length) resets![row + at] = 1;
      if (at >= 1 && at <= slice.length) ends![row + at - 1] = 1;
    }
    const end = slice.start + slice.length;
    openTokens![b] = slice.start - (firsts.findLast((first) => first <= slice.start) ?? 0);
    laterTokens![b] = (firsts.find((first) => first >= end) ?? paddedLength) - end;
  });
  return {
    numSequences: windows.length,
    sliceLength: slice.length,
    ...{ tokens, labels, numValidTokens, resets, ends, openTokens, laterTokens },
  };
}

/** Where documents start, and padding, counted from the sequence's first token. */
function firstTokens(
  { start, numTokens }: Window,
  documents: DocumentStarts | null,
  paddedLength: number,
): number[] {
  const firsts = Array.from(documents?.between(start, start + numTokens) ?? [], (first) => first - start);
  return numTokens < paddedLength ? [...firsts, numTokens] : firsts;
}
