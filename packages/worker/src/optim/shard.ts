import type { FlatRange, GradientBucket } from '../model/gradient-buckets.js';
import type { JobSpec } from '../protocol/job-spec.js';

/**
 * The equal part of a model's flat buffers that one rank updates, and whose moments it alone holds (ZeRO stage 1): of every
 * bucket the rank's part, so that the sum of each is work for all of them.
 */
export interface Shard {
  readonly index: number;
  /** Parts in all. */
  readonly count: number;
}

/** Elements that belong to a shard. */
export interface ShardPiece extends FlatRange {
  /** The first of them in the shard, whose pieces follow one another. */
  readonly inShard: number;
}

/** One rank holds everything. */
export const wholeShard: Shard = { index: 0, count: 1 };

/** Under ZeRO every rank, over dp x sp, holds one of as many parts as there are ranks. */
export function shardOfRank({ sp, dp, zero }: JobSpec['parallel'], rank: number): Shard {
  return zero === 0 ? wholeShard : { index: rank, count: sp * dp };
}

/** The part of a bucket, which can be cut into `count`, that belongs to the shard. */
export function partOfBucket({ begin, end }: FlatRange, { index, count }: Shard): FlatRange {
  const size = (end - begin) / count;
  return { begin: begin + index * size, end: begin + (index + 1) * size };
}

/** A shard's pieces, in the order of the buffers; neighbours are one. */
export function piecesOfShard(buckets: readonly GradientBucket[], shard: Shard): ShardPiece[] {
  const pieces: ShardPiece[] = [];
  let inShard = 0;
  for (const bucket of [...buckets].sort((a, b) => a.begin - b.begin)) {
    const { begin, end } = partOfBucket(bucket, shard);
    const last = pieces.at(-1);
    if (last?.end === begin) pieces[pieces.length - 1] = { ...last, end };
    else pieces.push({ begin, end, inShard });
    inShard += end - begin;
  }
  return pieces;
}
