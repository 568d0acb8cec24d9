import { attention, chunkEnds, type Tensor } from '@longscan/kernels';
import type { AttentionStrategy } from '../attention-strategy.js';
import type { Received } from './received.js';
import type { SliceGroup } from './sequence-group.js';

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
  readonly group: (SliceGroup & { readonly attention: AttentionStrategy }) | null;
  /** i32 [B, T] within the document; null: every sequence is one document. */
  readonly positions: Tensor | null;
  readonly received?: Received;
}

/**
 * Causal softmax attention over a sequence whose slices lie on the ranks of `group`, by that group's strategy. Output
 * [B, T, H, V]. With `chunk`, slices are whole chunks and one key per chunk travels.
 * @throws LongscanError E-SHAPE if a slice begins inside a chunk, E-STRATEGY if the strategy cannot divide the heads
 */
export function sequenceAttention(
  inputs: SequenceAttentionInputs,
  options: SequenceAttentionOptions,
  { group, ...place }: AttentionPlace,
): Tensor {
  return group === null
    ? attendAlone(inputs, options, place.positions)
    : group.attention.attend(inputs, options, { ...place, group });
}

/** The same where all tokens of the sequence are at hand. */
export function attendAlone(
  { q, k, v }: SequenceAttentionInputs,
  { scale, window, chunk }: SequenceAttentionOptions,
  positions: Tensor | null,
): Tensor {
  if (chunk === undefined) {
    return attention({ q, k, v, kSelf: null, vSelf: null }, { scale, window, positions });
  }
  const grid = { chunk, tokenOffset: 0, positions };
  const ends = { k: chunkEnds(k, grid), v: chunkEnds(v, grid) };
  return attention({ q, ...ends, kSelf: k, vSelf: v }, { scale, chunk, positions });
}
