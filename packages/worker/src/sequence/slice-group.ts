import type { Communicator } from '@longscan/kernels';

/** A contiguous run of tokens of a sequence, counted from its first one. */
export interface SliceRange {
  readonly start: number;
  readonly length: number;
}

/** The ranks that hold the slices of one sequence. */
export interface SliceGroup {
  readonly communicator: Pick<Communicator, 'rank' | 'stream' | 'exchange'>;
  /** Of every rank, in rank order: one follows the other. */
  readonly slices: readonly SliceRange[];
}

/** Slices of these lengths, one after the other. */
export function slicesOf(lengths: readonly number[]): SliceRange[] {
  let end = 0;
  return lengths.map((length) => {
    end += length;
    return { start: end - length, length };
  });
}
