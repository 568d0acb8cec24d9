import type { ParameterPlace } from './parameter-layout.js';

/** Elements [begin, end) of a model's flat buffers. */
export interface FlatRange {
  readonly begin: number;
  readonly end: number;
}

/** Those whose gradients are summed over ranks at once. */
export interface GradientBucket extends FlatRange {
  /** They are final when the backward pass is through this block (see `ParameterSpec.block`). */
  readonly finalAfter: number;
}

export interface BucketOptions {
  /** Elements of the buffers, padding included. */
  readonly total: number;
  /** No bucket but the last has fewer elements. */
  readonly least: number;
  /** Buckets are cut between multiples of so many elements. */
  readonly multiple: number;
  /** The block of parameters that belong to none. */
  readonly beforeAll: number;
}

/**
 * Cuts the buffers from their end, where the parameters of the last blocks lie, to their begin, into buckets that a backward pass makes
 * final one after the other; the last one is final when it is over. `places`: one after the other, by rising offset. A cut is made
 * only where what lies before it becomes final later: a bucket that has to wait for the next one gains nothing. The few elements of a
 * parameter between its begin and the multiple after it belong to the later bucket.
 */
export function planBuckets(
  places: readonly ParameterPlace[],
  { total, least, multiple, beforeAll }: BucketOptions,
): GradientBucket[] {
  const finalAfterOf = ({ block, isSharedInParts }: ParameterPlace) =>
    isSharedInParts ? beforeAll : (block ?? beforeAll);
  const buckets: GradientBucket[] = [];
  let end = total;
  let finalAfter = Number.POSITIVE_INFINITY;
  let above: ParameterPlace | undefined;
  for (const place of [...places].sort((a, b) => b.offset - a.offset)) {
    const begin = above === undefined ? end : Math.ceil(above.offset / multiple) * multiple;
    if (end - begin >= least && end > begin && finalAfterOf(place) < finalAfter) {
      buckets.push({ begin, end, finalAfter });
      end = begin;
    }
    finalAfter = Math.min(finalAfter, finalAfterOf(place));
    above = place;
  }
  return [...buckets, { begin: 0, end, finalAfter: beforeAll }];
}
