import {
  type Device,
  flip,
  fromArray,
  LongscanError,
  type RecurrenceInputs,
  type RecurrenceOp,
  type Tensor,
} from '@longscan/kernels';
import { bidirectionalRecurrence } from '../sequence/bidirectional.js';
import { withHalo } from '../sequence/halo.js';
import { positionsOf } from '../sequence/positions.js';
import { live } from '../sequence/received.js';
import type { SequenceGroup } from '../sequence/sequence-group.js';
import type { Direction } from '../strategy.js';
import { toBothSides } from './both-sides.js';
import type { ContextSource } from './layer-context.js';
import { shareAlone } from './shared-values.js';
import { shortRange } from './short-range.js';

/** A slice of sequences that are read in both directions. */
export interface BidirectionalSlice {
  readonly device: Device;
  /** [B, T] */
  readonly shape: readonly [number, number];
  readonly group: SequenceGroup | null;
  /** i32 [B, T], 1 where a document starts; null: one document. */
  readonly resets: Tensor | null;
  /** i32 [B, T], 1 at the last token of a document that another one follows; null together with `resets`. */
  readonly ends: Tensor | null;
  /** i32 [B]: as for `sliceContexts`. */
  readonly before: Tensor | null;
}

/** Training and validation under the masked objective: what layers look at lies on both sides of a token. */
export function bidirectionalContexts(slice: BidirectionalSlice): ContextSource {
  const { device, shape, group, resets, ends, before } = slice;
  const boundaries = resets && ends && { starts: resets, reversedEnds: flip(ends) };
  const everyToken = fromArray(device, new Int32Array(shape[0] * shape[1]).fill(1), shape, 'i32');
  return {
    tensors: [resets, before, boundaries?.reversedEnds ?? null, everyToken].filter((one) => one !== null),
    forLayer(index, received = live) {
      const looking = (direction: Direction, edges: Tensor | null) =>
        shortRange(
          (x, numRows, op) => op(withHalo(x, numRows, { group, resets: edges, received, direction })),
          edges,
        );
      const place = { group, boundaries, everyToken, received };
      return {
        share: shareAlone,
        recurrence(op, inputs, meanwhile) {
          const reason = whyCausalOnly(op);
          if (reason !== null) throw refuseBothDirections(index, reason);
          return bidirectionalRecurrence(op, inputs, { ...place, meanwhile });
        },
        ...toBothSides(looking('forward', resets), looking('reverse', boundaries?.reversedEnds ?? null)),
        positions: (x) => positionsOf(x, group, { resets, before }),
        attention() {
          throw refuseBothDirections(index, softmaxReason);
        },
      };
    },
  };
}

/** Why a layer that calls `attention` cannot be had under the masked objective. */
export const softmaxReason = 'causal softmax attention';

/** Why a recurrence cannot run in both directions; null: it can. */
export function whyCausalOnly<I extends RecurrenceInputs>(op: RecurrenceOp<I>): string | null {
  if (op.causalOnly !== undefined) return op.causalOnly;
  return op.transition === 'opaque' ? 'a recurrence of which nothing is known' : null;
}

/** What is said where a layer that reads in one direction only meets the masked objective. */
export function refuseBothDirections(layer: number, reason: string): LongscanError {
  return new LongscanError({
    code: 'E-OBJECTIVE',
    where: `model.objective = "masked" with layer ${layer}`,
    found: reason,
    expected: 'recurrences whose outputs from both directions add up',
    fix: 'set model.objective = "causal", or use another layer',
    exitCode: 2,
  });
}
