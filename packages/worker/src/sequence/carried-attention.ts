import { attention, chunkEnds, swapAxes, type Tensor } from '@longscan/kernels';
import type { SequenceAttentionInputs, SequenceAttentionOptions } from './attend-alone.js';
import { joinRows, rowsBetween } from './rows.js';

/** Keys and values of earlier tokens, rows first: [n, B, G, K] and [n, B, G, V]. */
export interface KeyValueCache {
  readonly k: Tensor;
  readonly v: Tensor;
}

/**
 * Attention of the tokens from `start` on, with `before` from the last call. The cache returned holds what later tokens
 * can see: with a window its last keys, with chunks the ends of those that are complete; null: nothing.
 */
export function carriedAttention(
  { q, k, v }: SequenceAttentionInputs,
  { scale, window, chunk }: SequenceAttentionOptions,
  start: number,
  before: KeyValueCache | null,
): { output: Tensor; cache: KeyValueCache | null } {
  const grid = chunk !== undefined && { chunk, tokenOffset: start, positions: null };
  const rowsOf = (x: Tensor) => swapAxes(grid ? chunkEnds(x, grid) : x);
  const keys = joinRows(before?.k ?? null, rowsOf(k));
  const values = joinRows(before?.v ?? null, rowsOf(v));
  const output = attention(
    { q, k: swapAxes(keys), v: swapAxes(values), kSelf: grid ? k : null, vSelf: grid ? v : null },
    {
      ...(scale !== undefined && { scale }),
      ...(window !== undefined && { window }),
      ...(grid ? { chunk: grid.chunk, keyOffset: start } : { keyOffset: before?.k.dim(0) ?? 0 }),
    },
  );
  const end = grid ? Math.floor((start + q.dim(1)) / grid.chunk) : keys.dim(0);
  const begin = window === undefined ? 0 : Math.max(0, end - (window - 1));
  if (begin === end) return { output, cache: null };
  return { output, cache: { k: rowsBetween(keys, begin, end), v: rowsBetween(values, begin, end) } };
}
