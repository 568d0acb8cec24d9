import {
  type Device,
  documentPositions,
  empty,
  fill,
  flip,
  LongscanError,
  type RecurrenceInputs,
  type RecurrenceOp,
  type Tensor,
} from '@longscan/kernels';
import { bidirectionalRecurrence } from '../sequence/bidirectional.js';
import { attentionToBothSides } from '../sequence/both-sides-attention.js';
import { withHalo } from '../sequence/halo.js';
import { positionsOf, sliceStart } from '../sequence/positions.js';
import { live } from '../sequence/received.js';
import { groupOfLayer, type ModelGroup } from '../sequence/sequence-group.js';
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
  readonly group: ModelGroup | null;
  /** i32 [B, T], 1 where a document starts; null: one document. */
  readonly resets: Tensor | null;
  /** i32 [B, T], 1 at the last token of a document that another one follows; null together with `resets`. */
  readonly ends: Tensor | null;
  /** i32 [B]: as for `sliceContexts`. */
  readonly before: Tensor | null;
  /** i32 [B]: tokens that later slices hold of the document that is open where this slice ends; null together with `resets`. */
  readonly after: Tensor | null;
}

/** Training and validation under the masked objective: what layers look at lies on both sides of a token. */
export function bidirectionalContexts(slice: BidirectionalSlice): ContextSource {
  const { device, shape, group, resets, ends, before, after } = slice;
  const boundaries = resets && ends && { starts: resets, reversedEnds: flip(ends) };
  const everyToken = empty(device, shape, 'i32');
  fill(everyToken, 1);
  const reversedEnds = boundaries?.reversedEnds ?? null;
  /** As `positions`, counted from the document's end. */
  const tokensAfter = () =>
    flip(documentPositions(device, shape, { resets: reversedEnds, before: after ?? tokensBehind(slice) }));
  return {
    tensors: [resets, before, after, reversedEnds, everyToken].filter((one) => one !== null),
    forLayer(index, received = live) {
      const looking = (direction: Direction, edges: Tensor | null) =>
        shortRange(
          (x, numRows, op) => op(withHalo(x, numRows, { group, resets: edges, received, direction })),
          edges,
        );
      const place = { group: groupOfLayer(group, index), boundaries, everyToken, received };
      return {
        share: shareAlone,
        recurrence(op, inputs, meanwhile) {
          const reason = whyCausalOnly(op);
          if (reason !== null) throw refuseBothDirections(index, reason);
          return bidirectionalRecurrence(op, inputs, { ...place, meanwhile });
        },
        ...toBothSides(looking('forward', resets), looking('reverse', reversedEnds)),
        positions: (x) => positionsOf(x, group, { resets, before }),
        attention(inputs, { chunk, ...options } = {}) {
          if (chunk !== undefined) throw refuseBothDirections(index, chunkReason);
          const positions = resets && positionsOf(inputs.q, group, { resets, before });
          return attentionToBothSides(inputs, options, { group, positions, after: tokensAfter(), received });
        },
      };
    },
  };
}

/** Tokens of the sequence that later slices hold. */
function tokensBehind({ group, shape: [, T] }: BidirectionalSlice): number {
  const last = group?.slices.at(-1);
  return last === undefined ? 0 : last.start + last.length - sliceStart(group) - T;
}

/** Why a layer that attends to the ends of chunks cannot be had under the masked objective. */
export const chunkReason = 'attention to the ends of earlier chunks';

/** Why a recurrence cannot run in both directions; null: it can. */
export function whyCausalOnly<I extends RecurrenceInputs>(op: RecurrenceOp<I>): string | null {
  if (op.causalOnly !== undefined) return op.causalOnly;
  return op.transition === 'opaque' ? 'a recurrence of which nothing is known' : null;
}

/** What is said where a layer that reads in one direction only meets the masked objective. */
function refuseBothDirections(layer: number, reason: string): LongscanError {
  return new LongscanError({
    code: 'E-OBJECTIVE',
    where: `model.objective = "masked" with layer ${layer}`,
    found: reason,
    expected: 'recurrences whose outputs from both directions add up',
    fix: 'set model.objective = "causal", or use another layer',
    exitCode: 2,
  });
}
