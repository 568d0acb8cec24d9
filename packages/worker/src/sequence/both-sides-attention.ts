import { attention, type Tensor } from '@longscan/kernels';
import type { SequenceAttentionInputs, SequenceAttentionOptions } from './attend-alone.js';
import { gatherRows } from './gather-rows.js';
import { sliceStart } from './positions.js';
import type { Received } from './received.js';
import type { SliceGroup, SliceRange } from './slice-group.js';

/** Where the tokens at hand stand, and how far they see. */
export interface BothSidesPlace {
  /** Null: this rank holds the whole sequence. */
  readonly group: SliceGroup | null;
  /** i32 [B, T], tokens of the document before each; null: every sequence is one document. */
  readonly positions: Tensor | null;
  /** i32 [B, T], tokens of the document after each. */
  readonly after: Tensor;
  readonly received?: Received;
}

/**
 * Softmax attention over the whole document of each token, on both sides of it; `window`: fewer than so many tokens away.
 * Each rank fetches the keys and values that its queries see and attends alone (LASP-2H without the mask,
 * https://arxiv.org/abs/2502.07563, section 3.4); all queries see equally many, so nothing has to be evened out. Output
 * [B, T, H, V].
 */
export function attentionToBothSides(
  { q, k, v }: SequenceAttentionInputs,
  { scale, window }: Pick<SequenceAttentionOptions, 'scale' | 'window'>,
  { group, positions, after, received }: BothSidesPlace,
): Tensor {
  const options = { scale, window, positions, after };
  if (group === null) return attention({ q, k, v, kSelf: null, vSelf: null }, options);
  const { slices, communicator } = group;
  const wanted = slices.map((slice) =>
    withReach(slice, window === undefined ? Infinity : window - 1, slices),
  );
  const gathers = [k, v].map((x) => gatherRows(x, { group, slices, wanted, received }));
  const [keys, values] = gathers.map((gather) => gather.wait());
  const keyOffset = sliceStart(group) - wanted[communicator.rank]!.start;
  return attention({ q, k: keys!, v: values!, kSelf: null, vSelf: null }, { ...options, keyOffset });
}

/** A slice and up to `reach` tokens of the sequence on both sides of it. */
function withReach({ start, length }: SliceRange, reach: number, slices: readonly SliceRange[]): SliceRange {
  const last = slices.at(-1)!;
  const first = Math.max(0, start - reach);
  return { start: first, length: Math.min(last.start + last.length, start + length + reach) - first };
}
