import { attention, chunkEnds, LongscanError, type Tensor } from '@longscan/kernels';
import { type GatherGroup, gatherEarlier } from './gather-earlier.js';
import { sliceStart } from './positions.js';
import type { Received } from './received.js';
import type { SliceRange } from './sequence-group.js';

/** Queries, keys and values of the tokens at hand. */
export interface SequenceAttentionInputs {
  /** [B, T, H, K] */
  readonly q: Tensor;
  /** [B, T, G, K], H a multiple of G */
  readonly k: Tensor;
  /** [B, T, G, V] */
  readonly v: Tensor;
}

export interface SequenceAttentionOptions {
  /** Default 1/√K. */
  readonly scale?: number;
  /** Tokens that a query sees at most, its own included; default: all of its document. */
  readonly window?: number;
  /** Of earlier tokens only the last of each earlier chunk of so many is seen, chunks counted within the document. */
  readonly chunk?: number;
}

/** Where the tokens at hand stand. */
export interface AttentionPlace {
  /** Null: this rank holds the whole sequence. */
  readonly group: GatherGroup | null;
  /** i32 [B, T] within the document; null: every sequence is one document. */
  readonly positions: Tensor | null;
  readonly received?: Received;
}

/**
 * Causal softmax attention over a sequence whose slices lie on the ranks of `group` (strategy kv-all-gather, after
 * LASP-2H, https://arxiv.org/abs/2502.07563): each rank fetches the keys and values that its queries can see and attends
 * alone. Output [B, T, H, V]. With `chunk`, slices are whole chunks and one key per chunk travels.
 * @throws LongscanError E-SHAPE if a slice begins inside a chunk
 */
export function sequenceAttention(
  { q, k, v }: SequenceAttentionInputs,
  { scale, window, chunk }: SequenceAttentionOptions,
  { group, positions, received }: AttentionPlace,
): Tensor {
  const start = sliceStart(group);
  const common = { positions, ...(scale !== undefined && { scale }) };
  const gather = (reach: number, slices: readonly SliceRange[], ...tensors: Tensor[]) => {
    if (group === null) return tensors;
    const pending = tensors.map((tensor) =>
      gatherEarlier(tensor, { group, slices, reach, ...(received && { received }) }),
    );
    return pending.map((one) => one.wait());
  };
  if (chunk !== undefined) {
    const grid = { chunk, tokenOffset: start, positions };
    const slices = (group?.slices ?? []).map((slice) => chunksOf(slice, chunk));
    const [ends, values] = gather(Infinity, slices, chunkEnds(k, grid), chunkEnds(v, grid));
    return attention({ q, k: ends!, v: values!, kSelf: k, vSelf: v }, { ...common, chunk, keyOffset: start });
  }
  const reach = window === undefined ? Infinity : window - 1;
  const [keys, values] = gather(reach, group?.slices ?? [], k, v);
  const keyOffset = keys!.dim(1) - k.dim(1);
  const limit = window !== undefined && { window };
  return attention({ q, k: keys!, v: values!, kSelf: null, vSelf: null }, { ...common, ...limit, keyOffset });
}

/** A slice in chunks; its last one may be cut short by the end of the sequence. */
function chunksOf({ start, length }: SliceRange, chunk: number): SliceRange {
  if (start % chunk !== 0) {
    throw new LongscanError({
      code: 'E-SHAPE',
      where: 'attention over chunks',
      found: `a slice that begins at token ${start}`,
      expected: `a multiple of the chunk, ${chunk}`,
      fix: `model.chunk = ${chunk}`,
      exitCode: 2,
    });
  }
  return { start: start / chunk, length: Math.ceil(length / chunk) };
}
