import type { ForwardCall } from './autograd/define-op.js';
import { resetBits } from './ops/reset-bits/index.js';
import type {
  ForwardRecord,
  Kept,
  RecurrenceGradients,
  RecurrenceInputs,
  RecurrenceOp,
  SegmentSummary,
} from './recurrence-op.js';
import type { Tensor } from './tensor.js';

/** A recurrence by sweeps over the slice. Conventions are those of `RecurrenceOp`. */
export interface SweepDefinition<I extends RecurrenceInputs>
  extends Pick<
    RecurrenceOp<I>,
    'name' | 'transition' | 'shared' | 'ownReads' | 'stateShape' | 'forward' | 'reference'
  > {
  /** What the slice does to a state, without its outputs. */
  summarize(call: ForwardCall, inputs: I, resets: Tensor | null): Omit<SegmentSummary, 'kind' | 'reset'>;
  /** dL/dS_in through the slice's own outputs. */
  adjoint(call: ForwardCall, inputs: I, resets: Tensor | null, outputGradient: Tensor): Tensor;
  /** All gradients, given the adjoint of the outgoing state (null: zero). */
  backward(
    call: ForwardCall,
    inputs: I,
    resets: Tensor | null,
    record: ForwardRecord,
    outputGradient: Tensor,
    outgoingAdjoint: Tensor | null,
    wantIncoming: boolean,
  ): RecurrenceGradients<I>;
}

/**
 * A `RecurrenceOp` whose `finish` is a whole sweep from the incoming state. Where M is elementwise, adding to the outputs
 * what the incoming state contributes would cost every decay of that sweep once more, and the traffic of the outputs
 * twice; where it is dense, a product with the state for each token. So the first pass gives the summary alone.
 */
export function sweepRecurrence<I extends RecurrenceInputs>(definition: SweepDefinition<I>): RecurrenceOp<I> {
  const nothing: Kept = {};
  return {
    name: definition.name,
    transition: definition.transition,
    shared: definition.shared,
    ownReads: definition.ownReads,
    stateShape: definition.stateShape,
    forward: definition.forward,
    prepare: () => nothing,
    summarize(call, inputs, resets) {
      const summary = definition.summarize(call, inputs, resets);
      const reset = resets && resetBits(call, resets, summary.state.dtype);
      return { ...summary, kind: definition.transition, reset };
    },
    finish: (call, inputs, resets, _prepared, incoming) => definition.forward(call, inputs, resets, incoming),
    summarizeBackward: (call, inputs, resets, _record, summary, outputGradient) => ({
      ...summary,
      state: definition.adjoint(call, inputs, resets, outputGradient),
      transposed: true,
    }),
    prepareBackward: () => nothing,
    finishBackward: (
      call,
      inputs,
      resets,
      record,
      _prepared,
      outputGradient,
      outgoingAdjoint,
      wantIncoming,
    ) => definition.backward(call, inputs, resets, record, outputGradient, outgoingAdjoint, wantIncoming),
    reference: definition.reference,
  };
}
