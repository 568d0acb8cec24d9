import { LongscanError } from '@longscan/kernels/errors';
import type { Slice } from '../protocol/plan.js';
import type { TextPart } from './text-part.js';
import type { Window } from './window.js';

/** Label of a position that has none: padding, or the end of a document. The loss skips it. */
export const ignoredLabel = -1;

/** One rank's part of some sequences: its slice of each. B sequences, T tokens per slice. */
export interface Batch {
  readonly numSequences: number;
  readonly sliceLength: number;
  /** `[B, T]`; 0 where padded, `model.vocabSize` where the masked objective hides one. */
  readonly tokens: Int32Array;
  /** `[B, T]`, the token that follows in the whole sequence, or the one that is hidden here; -1 where there is none. */
  readonly labels: Int32Array;
  /** Labels that are not -1 over all ranks and micro-batches of the step (or the whole validation): the loss is divided by it. */
  readonly numValidTokens: number;
  /** `[B, T]`, 1 where a document starts; null when every sequence is one document. */
  readonly resets: Int32Array | null;
  /** `[B, T]`, 1 at the last token of a document that another one follows, for what runs against time; left out: nothing does. */
  readonly ends?: Int32Array | null;
  /**
   * `[B]`: tokens that earlier slices, and earlier steps that hand on their memory, hold of the document that is open where
   * this slice begins; null when every sequence is one document.
   */
  readonly openTokens: Int32Array | null;
  /** `[B]`: tokens that later slices hold of the document that is open where this slice ends; left out together with `ends`. */
  readonly laterTokens?: Int32Array | null;
}

export interface BatchOptions {
  readonly text: TextPart;
  /** The B sequences. */
  readonly windows: readonly Window[];
  readonly slice: Slice;
  readonly vocabSize: number;
  readonly numValidTokens: number;
  /** Windows may hold more than one document. */
  readonly packing: boolean;
}

/** Cuts this rank's slice out of every window. Throws E-DATA-VOCAB at a byte that the model has no embedding for. */
export function sliceBatch({
  text,
  windows,
  slice,
  vocabSize,
  numValidTokens,
  packing,
}: BatchOptions): Batch {
  const shape = windows.length * slice.length;
  const tokens = new Int32Array(shape);
  const labels = new Int32Array(shape).fill(ignoredLabel);
  const documents = packing ? text.documents : null;
  const resets = documents && new Int32Array(shape);
  const openTokens = documents && new Int32Array(windows.length);
  windows.forEach((window, b) => {
    const start = window.start + slice.start;
    const numTokens = Math.min(slice.length, window.numTokens - slice.start);
    if (numTokens <= 0) return;
    // One byte more than the slice has tokens: the label of a slice's last token is the next rank's first token, as
    // labels are shifted on the whole sequence.
    const bytes = text.read(start, numTokens + 1);
    checkVocab(bytes, vocabSize, text, start);
    const row = b * slice.length;
    tokens.set(bytes.subarray(0, numTokens), row);
    labels.set(bytes.subarray(1), row);
    if (documents === null) return;
    for (const first of documents.between(start, start + numTokens)) resets![row + first - start] = 1;
    for (const first of documents.between(start + 1, start + numTokens + 1)) {
      labels[row + first - start - 1] = ignoredLabel;
    }
    const open = documents.startOf(documents.indexAt(start));
    openTokens![b] = start - Math.max(open, window.memoryStart ?? window.start);
  });
  return {
    numSequences: windows.length,
    sliceLength: slice.length,
    ...{ tokens, labels, numValidTokens, resets, openTokens },
  };
}

/** @throws LongscanError E-DATA-VOCAB at the first byte that the vocabulary lacks; `offset`: that of the first of them. */
export function checkVocab(bytes: Uint8Array, vocabSize: number, text: TextPart, offset: number): void {
  if (vocabSize >= 256) return;
  const bad = bytes.findIndex((byte) => byte >= vocabSize);
  if (bad === -1) return;
  throw new LongscanError({
    code: 'E-DATA-VOCAB',
    where: text.placeOf(offset + bad),
    found: `token ${bytes[bad]}`,
    expected: `less than model.vocabSize = ${vocabSize}`,
    fix: 'set model.vocabSize = 256, which holds every byte',
    exitCode: 4,
  });
}
