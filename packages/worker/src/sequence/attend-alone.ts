import { attention, chunkEnds, type Tensor } from '@longscan/kernels';

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

/** Causal softmax attention where all tokens of the sequence are at hand. Output [B, T, H, V]. */
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
