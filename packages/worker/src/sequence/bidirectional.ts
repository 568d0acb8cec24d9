import {
  add,
  flip,
  type RecurrenceInputs,
  type RecurrenceOp,
  runRecurrence,
  sub,
  type Tensor,
} from '@longscan/kernels';
import { opposite, type Strategy } from '../strategy.js';
import { live, type Received } from './received.js';
import { recurrence } from './recurrence.js';
import type { SequenceGroup } from './sequence-group.js';
import { sumOverRanks } from './sum-over-ranks.js';

/** Where documents start and end in a slice, as one rank sees it. */
export interface Boundaries {
  /** i32 [B, T], 1 where a document starts. */
  readonly starts: Tensor;
  /** i32 [B, T], 1 at the last token of a document that another one follows, tokens in reverse order. */
  readonly reversedEnds: Tensor;
}

export interface BidirectionalOptions {
  /** Null: this rank holds the whole sequence. */
  readonly group: SequenceGroup | null;
  /** Null: one document. */
  readonly boundaries: Boundaries | null;
  /** i32 [B, T] of ones: every token a document of its own. */
  readonly everyToken: Tensor;
  readonly received?: Received;
  /** What does not feed the recurrence: enqueued while states are under way. */
  readonly meanwhile?: (() => void) | undefined;
}

/**
 * A recurrence over a sequence in both directions: what a token reads of those before it and of those after it, and of itself
 * once. The run against time is the same op on the slice in reverse order, over ranks in reverse order, so a strategy need
 * not know of it; both scans are under way at once. Where the order of tokens does not matter it is one sum over all of
 * them instead (LASP-2 without masking, https://arxiv.org/abs/2502.07563, algorithm 1). Not for ops that are `causalOnly`.
 */
export function bidirectionalRecurrence<I extends RecurrenceInputs>(
  op: RecurrenceOp<I>,
  inputs: I,
  { group, boundaries, everyToken, received = live, meanwhile }: BidirectionalOptions,
): Tensor {
  if (op.unordered !== undefined && boundaries === null) {
    const communicator = group?.communicator ?? null;
    const state = sumOverRanks(op.unordered.write(inputs), { communicator, received, meanwhile });
    return op.unordered.read(inputs, state);
  }
  const turned = reversed(op, inputs);
  let after!: Tensor;
  const before = recurrence(op, inputs, {
    ...{ group, received, resets: boundaries?.starts ?? null },
    meanwhile() {
      meanwhile?.();
      after = recurrence(op, turned, {
        ...{ group: group && againstTime(group), received, resets: boundaries?.reversedEnds ?? null },
      });
    },
  });
  const own = op.ownReads?.(inputs) ?? runRecurrence(op, inputs, { resets: everyToken, h0: null }).output;
  return sub({ a: add({ a: before, b: flip(after) }), b: own });
}

/** The tokens of every input in reverse order. */
function reversed<I extends RecurrenceInputs>(op: RecurrenceOp<I>, inputs: I): I {
  const entries = Object.entries<Tensor | null>(inputs).map(([name, input]) => {
    return [name, input === null || op.shared?.includes(name) ? input : flip(input)];
  });
  return Object.fromEntries(entries) as I;
}

/** The same ranks with the order of their slices reversed. */
function againstTime(group: SequenceGroup): SequenceGroup {
  const { strategy } = group;
  const turned: Strategy = {
    ...strategy,
    start: (local, ranks, direction, options) => strategy.start(local, ranks, opposite(direction), options),
  };
  return { ...group, strategy: turned };
}
