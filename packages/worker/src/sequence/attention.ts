import type { Tensor } from '@longscan/kernels';
import type { AttentionStrategy, PlaceOnRanks } from '../attention-strategy.js';
import { attendAlone, type SequenceAttentionInputs, type SequenceAttentionOptions } from './attend-alone.js';
import type { SliceGroup } from './slice-group.js';

/** Where the tokens at hand stand. */
export interface AttentionPlace extends Omit<PlaceOnRanks, 'group'> {
  /** Null: this rank holds the whole sequence. */
  readonly group: (SliceGroup & { readonly attention: AttentionStrategy }) | null;
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
