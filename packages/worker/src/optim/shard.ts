import type { JobSpec } from '../protocol/job-spec.js';

/** The equal part of a model's flat buffers that one rank updates, and whose moments it alone holds (ZeRO stage 1). */
export interface Shard {
  readonly index: number;
  /** Parts in all. */
  readonly count: number;
}

/** One rank holds everything. */
export const wholeShard: Shard = { index: 0, count: 1 };

/** Under ZeRO every rank, over dp x sp, holds one of as many parts as there are ranks. */
export function shardOfRank({ sp, dp, zero }: JobSpec['parallel'], rank: number): Shard {
  return zero === 0 ? wholeShard : { index: rank, count: sp * dp };
}
