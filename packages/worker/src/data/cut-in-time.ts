import { timeSliceLengths } from '../sequence/time-slices.js';
import type { Batch } from './batch.js';

/**
 * A rank's part of some sequences as shorter ones of at most `length` tokens each, one after the other: what follows in the
 * next of them goes on where the one before ended.
 */
export function cutInTime(batch: Batch, length: number): Batch[] {
  const { numSequences: B, sliceLength: T, tokens, labels, resets } = batch;
  return timeSliceLengths(T, length).map((sliceLength, i) => {
    const begin = i * length;
    const cut = (values: Int32Array) => {
      const rows = new Int32Array(B * sliceLength);
      for (let b = 0; b < B; b++) {
        rows.set(values.subarray(b * T + begin, b * T + begin + sliceLength), b * sliceLength);
      }
      return rows;
    };
    return {
      ...batch,
      sliceLength,
      tokens: cut(tokens),
      labels: cut(labels),
      resets: resets && cut(resets),
      openTokens: Int32Array.from({ length: B }, (_, b) => openTokensAt(batch, b, begin)),
    };
  });
}

/** Tokens before the one at `begin` that belong to the document that is open there. */
function openTokensAt({ sliceLength: T, resets, openTokens }: Batch, b: number, begin: number): number {
  const start = resets === null ? -1 : resets.subarray(b * T, b * T + begin).lastIndexOf(1);
  return start === -1 ? begin + (openTokens?.[b] ?? 0) : begin - start;
}
