import { randomSource } from '@longscan/kernels/testing';
import { DocumentStarts } from '../data/document-starts.js';
import type { TextPart } from '../data/index.js';

/** A text in memory, of documents of these lengths; tokens below 39, small ones more often. */
export function textOf(documentLengths: readonly number[], seed = 1): TextPart & { bytes: Uint8Array } {
  const next = randomSource(seed);
  const numBytes = documentLengths.reduce((sum, length) => sum + length, 0);
  const bytes = Uint8Array.from({ length: numBytes }, () => Math.floor(39 * next() * next()));
  let start = 0;
  const starts = documentLengths.map((length) => {
    start += length;
    return start - length;
  });
  return {
    ...{ path: 'memory', numBytes, bytes, documents: new DocumentStarts(starts) },
    read: (from, length) => bytes.slice(from, from + length),
    placeOf: (offset) => `byte ${offset}`,
  };
}
