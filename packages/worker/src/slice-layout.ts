import type { Slice } from './protocol/plan.js';

/** Tokens of each of so many pieces of a sequence: whole chunks, as few as hold it. */
export function pieceLength(sequenceLength: number, pieces: number, chunk: number): number {
  return Math.ceil(sequenceLength / (pieces * chunk)) * chunk;
}

/** How a sequence is cut over ranks. */
export interface SliceSizes {
  readonly sequenceLength: number;
  /** Ranks. */
  readonly sp: number;
  readonly chunk: number;
  /** What padding follows from: canonical segments in deterministic mode, else `sp`. */
  readonly pieces: number;
}

/** Tokens of each rank's slice, padding included; a fraction where the pieces cannot be shared out. */
export function sliceLength({ sequenceLength, sp, chunk, pieces }: SliceSizes): number {
  return (pieces / sp) * pieceLength(sequenceLength, pieces, chunk);
}

/**
 * Equal slices of a sequence, one after the other, the padding at the end of the last ones; null where some rank would hold
 * padding only, or pieces cannot be shared out.
 */
export function cutSequence(sizes: SliceSizes): Slice[] | null {
  const { sequenceLength, sp, pieces } = sizes;
  const length = sliceLength(sizes);
  if (pieces % sp !== 0 || length * (sp - 1) >= sequenceLength) return null;
  return Array.from({ length: sp }, (_, index) => {
    const start = index * length;
    return { start, length, numTokens: Math.min(length, sequenceLength - start) };
  });
}
