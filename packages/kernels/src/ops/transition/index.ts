import type { Stream } from '../../stream.js';
import { expectShape, type Tensor } from '../../tensor.js';
import './native.js';

/** M of a run of tokens, per head: nothing for the identity, [B, H] or [B, H, K]; and its reset bits [B]. */
export interface TransitionFactor {
  readonly factor: Tensor | null;
  readonly reset: Tensor | null;
}

/** Rows of the flattened free axis (B, H, V) of a state. */
export interface RowRange {
  readonly begin: number;
  readonly end: number;
}

/**
 * `out = reset ? E : M S + E` on some rows of states [B, H, V, K], enqueued on `stream` (a communication stream as a
 * rule). M acts on K, so rows are independent. `out` may be `S`. Outside of autograd.
 */
export function applyTransition(
  { factor, reset }: TransitionFactor,
  E: Tensor,
  S: Tensor,
  out: Tensor,
  rows: RowRange,
  stream: Stream,
): void {
  expectShape('transition', 'S', S, E.shape);
  expectShape('transition', 'out', out, E.shape);
  E.device.native.transitionApply(
    stream.id,
    factor?.id ?? null,
    reset?.id ?? null,
    E.id,
    S.id,
    out.id,
    rows.begin,
    rows.end,
  );
}
