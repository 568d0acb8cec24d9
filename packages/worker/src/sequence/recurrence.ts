import {
  forwardCall,
  type Kept,
  type RecurrenceInputs,
  type RecurrenceOp,
  runRecurrence,
  type SegmentSummary,
  type Tensor,
} from '@longscan/kernels';
import { stateAfter } from '../state/segment.js';
import type { CarriedCall } from './carry.js';
import { live, type Received } from './received.js';
import { recordRecurrence } from './record-recurrence.js';
import type { SequenceGroup } from './sequence-group.js';
import { serialRecurrence } from './serial-recurrence.js';
import { recurrenceByUnit } from './unit-recurrence.js';
import { serialRecurrenceByUnit } from './unit-serial-recurrence.js';

export interface RecurrenceOptions {
  /** Null: this rank holds the whole sequence. */
  readonly group: SequenceGroup | null;
  /** i32 [B, T], 1 where a document starts; null: one document. */
  readonly resets: Tensor | null;
  /** Where the incoming state comes from; default: the other ranks. */
  readonly received?: Received;
  /** Where the sequences go on from those of the step before. */
  readonly carried?: CarriedCall | undefined;
  /** What does not feed the recurrence: enqueued while the state is under way. */
  readonly meanwhile?: (() => void) | undefined;
}

/**
 * A recurrence over a sequence whose slices lie on the ranks of `group`: the only place where op, segment and strategy
 * meet. Returns this slice's output [B, T, …]. One forward scan now and one reverse scan in the backward pass; the
 * incoming state is kept, so nothing is communicated twice.
 */
export function recurrence<I extends RecurrenceInputs>(
  op: RecurrenceOp<I>,
  inputs: I,
  options: RecurrenceOptions,
): Tensor {
  const { group, resets, received = live, carried, meanwhile } = options;
  const { units } = Object.values(inputs).find((tensor) => tensor !== null)!.device;
  if (units !== null) {
    const options = { units, group, resets, received, meanwhile };
    return op.transition === 'opaque'
      ? serialRecurrenceByUnit(op, inputs, options)
      : recurrenceByUnit(op, inputs, options);
  }
  const entering = carried?.entering ?? null;
  if (group === null) {
    meanwhile?.();
    const { output, finalState } = runRecurrence(op, inputs, { resets, h0: entering });
    carried?.leave(finalState.shape, finalState.dtype, () => finalState);
    return output;
  }
  if (op.transition === 'opaque') return serialRecurrence(op, inputs, { ...options, group, received });

  const { strategy, communicator } = group;
  const tensors = Object.values(inputs).filter((tensor) => tensor !== null);
  const call = forwardCall(tensors[0]!.device);
  const prepared = op.prepare(call, inputs, resets);
  const own = op.summarize(call, inputs, resets, prepared);
  // What goes before the first rank's slice is part of what it hands on.
  const segment = entering === null ? own : { ...own, state: stateAfter(own, entering) };
  const pending = received.isReplay ? null : strategy.start(segment, communicator, 'forward', group.options);
  meanwhile?.();
  const incoming = received.next(() => pending!.wait() ?? entering);
  carried?.leave(own.state.shape, own.state.dtype, () =>
    incoming === null ? own.state : stateAfter(own, incoming),
  );
  const { output, kept } = op.finish(call, inputs, resets, prepared, incoming);
  recordBackward(op, inputs, resets, { group, segment, incoming, output, kept });
  return output;
}

/** What the forward pass leaves behind. */
interface Finished {
  readonly group: SequenceGroup;
  readonly segment: SegmentSummary;
  readonly incoming: Tensor | null;
  readonly output: Tensor;
  readonly kept: Kept;
}

function recordBackward<I extends RecurrenceInputs>(
  op: RecurrenceOp<I>,
  inputs: I,
  resets: Tensor | null,
  { group, segment, incoming, output, kept }: Finished,
): void {
  const names = (Object.keys(inputs) as (keyof I & string)[]).filter((name) => inputs[name] !== null);
  const tensors: Tensor[] = names.map((name) => inputs[name]!);
  const call = forwardCall(output.device);
  const transition = [segment.factor, segment.rates ?? null, segment.reset];
  recordRecurrence({
    ...{ name: op.name, inputs: tensors, output },
    saved: [...tensors, resets, incoming, ...transition, ...Object.values(kept)],
    backward(dO, flush) {
      const record = { kept, incoming };
      const adjoint = op.summarizeBackward(call, inputs, resets, record, segment, dO);
      const reverse = group.strategy.start(adjoint, group.communicator, 'reverse', group.options);
      const partial = op.prepareBackward(call, inputs, resets, record, dO, adjoint);
      flush();
      const outgoing = reverse.wait();
      const { gradients } = op.finishBackward(call, inputs, resets, record, partial, dO, outgoing, false);
      return names.map((name) => gradients[name] ?? null);
    },
  });
}
