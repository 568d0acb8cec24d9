import {
  applyTransition,
  empty,
  type RowRange,
  type SegmentSummary,
  type Stream,
  type Tensor,
  transitionWireElements,
} from '@longscan/kernels';

/**
 * What a run of tokens does to the memory state: `S_out = reset ? E : M S_in + E`. The value that crosses from layers
 * to strategies; in the reverse direction E is G = dL/dS_in through the run's own outputs and M acts as its transpose.
 *
 * States are [B, H, R, N]. A row is one element of the flattened free axis (B, H, R); M never mixes rows.
 */
export interface Segment extends SegmentSummary {
  /**
   * Deterministic mode: the run is that of these segments, applied one after the other in this order (that of the scan) and
   * never composed; `state` and M are those of the first.
   */
  readonly units?: readonly SegmentSummary[];
}

/** A run of units, in the order of the scan. */
export function withUnits(units: readonly SegmentSummary[]): Segment {
  return units.length === 1 ? units[0]! : { ...units[0]!, units };
}

/** What is applied one after the other. */
export function unitsOf(segment: Segment): readonly SegmentSummary[] {
  return segment.units ?? [segment];
}

/** Rows of the free axis of a state. */
export function numRows(state: Tensor): number {
  return state.size / state.dim(-1);
}

/** Rows `[begin, end)` of a state as one contiguous tensor. */
export function rowsOf(state: Tensor, { begin, end }: RowRange): Tensor {
  const rowLength = state.dim(-1);
  return state.view([(end - begin) * rowLength], begin * rowLength);
}

/** The free axis in `numBlocks` ranges whose lengths differ by at most one; fewer if there are fewer rows. */
export function cutRows(rows: number, numBlocks: number): RowRange[] {
  const count = Math.min(numBlocks, rows);
  return Array.from({ length: count }, (_, i) => ({
    begin: Math.floor((rows * i) / count),
    end: Math.floor((rows * (i + 1)) / count),
  }));
}

/** Enqueues `out = segment(incoming)` on some rows; `out` may be `incoming`. */
export function applySegment(
  segment: Segment,
  incoming: Tensor,
  out: Tensor,
  rows: RowRange,
  stream: Stream,
): void {
  let from = incoming;
  for (const unit of unitsOf(segment)) {
    applyTransition(unit, from, out, rows, stream);
    from = out;
  }
}

/** The whole state after a run of tokens, enqueued on `stream`. */
export function stateAfter(
  segment: Segment,
  incoming: Tensor,
  stream: Stream = incoming.device.compute,
): Tensor {
  const out = empty(incoming.device, incoming.shape, incoming.dtype, stream);
  applySegment(segment, incoming, out, { begin: 0, end: numRows(incoming) }, stream);
  return out;
}

/** The state after a run of tokens with nothing before it. */
export function stateFromNothing(segment: Segment, stream: Stream): Tensor {
  const [first, ...rest] = unitsOf(segment) as [SegmentSummary, ...SegmentSummary[]];
  return rest.length === 0 ? first.state : stateAfter(withUnits(rest), first.state, stream);
}

/**
 * The part of M that has to travel where M travels: none where it is known from the length of the run, which is the
 * same on every rank. Reset bits travel whenever documents are packed.
 */
export function wireParts({ kind, state, factor, reset }: Segment): Tensor[] {
  const travels = transitionWireElements(kind, state.dim(-1)) > 0;
  return [travels ? factor : null, reset].filter((part) => part !== null);
}
