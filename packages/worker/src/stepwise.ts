import {
  type ForwardCall,
  type Kept,
  type RecurrenceInputs,
  type RecurrenceOp,
  resetBits,
  swapAxes,
  type Tensor,
} from '@longscan/kernels';
import { evaluateOnHost } from './stepwise/definition-on-host.js';
import { probeFactor } from './stepwise/probe.js';
import type { StepDefinition } from './stepwise/step-definition.js';
import { reverseSweep, stateFrom, sweep } from './stepwise/sweeps.js';
import { leadingDims, TokenSlice } from './stepwise/token-slice.js';

export type { StepDefinition } from './stepwise/step-definition.js';

/**
 * A recurrence from a one-token function: trains, packs documents, generates and runs over ranks like one with a kernel,
 * by autograd through the steps; slow, since every token is a handful of small ops, several times over. What a slice
 * does to a state is found by probing. Every input is [B, T, H, …].
 */
export function stepwise<I extends RecurrenceInputs>(definition: StepDefinition<I>): RecurrenceOp<I> {
  const { name, transition } = definition;
  const stateShape = (inputs: I): readonly number[] => {
    const [B, , H] = leadingDims(name, inputs);
    return [B, H, ...definition.stateShape(inputs)];
  };
  const startFrom = (call: ForwardCall, inputs: I, from: Tensor | null): Tensor => {
    const like = Object.values(inputs).find((tensor) => tensor !== null)!;
    return stateFrom(call.device, stateShape(inputs), from, like);
  };
  const nothing: Kept = {};

  const forward: RecurrenceOp<I>['forward'] = (call, inputs, resets, h0) =>
    call.device.withoutTape(() =>
      call.device.scope(() => {
        const finalState = startFrom(call, inputs, h0);
        const outputs = sweep(definition, new TokenSlice(inputs, resets, false), finalState);
        return { output: swapAxes(outputs), finalState, kept: nothing };
      }),
    );

  return {
    name,
    transition,
    stateShape,
    forward,
    prepare: () => nothing,

    summarize: (call, inputs, resets) =>
      call.device.withoutTape(() =>
        call.device.scope(() => {
          const slice = new TokenSlice(inputs, resets, false);
          const state = startFrom(call, inputs, null);
          sweep(definition, slice, state);
          const factor = probeFactor(definition, slice, startFrom(call, inputs, null));
          return { state, kind: transition, factor, reset: resets && resetBits(call, resets, state.dtype) };
        }),
      ),

    finish: (call, inputs, resets, _prepared, incoming) => forward(call, inputs, resets, incoming),

    summarizeBackward: (call, inputs, resets, { incoming }, summary, outputGradient) => ({
      ...summary,
      state: call.device.scope(() => {
        const slice = new TokenSlice(inputs, resets, false);
        return reverseSweep(
          definition,
          slice,
          startFrom(call, inputs, incoming),
          swapAxes(outputGradient),
          null,
        );
      }),
      transposed: true,
    }),

    prepareBackward: () => nothing,

    finishBackward: (call, inputs, resets, { incoming }, _prepared, outputGradient, outgoing, wantIncoming) =>
      call.device.scope(() => {
        const slice = new TokenSlice(inputs, resets, true);
        const from = startFrom(call, inputs, incoming);
        const adjoint = reverseSweep(definition, slice, from, swapAxes(outputGradient), outgoing);
        return { gradients: slice.inputGradients(), incoming: wantIncoming ? adjoint : null };
      }),

    reference: (inputs, resets, h0) => evaluateOnHost(definition, inputs, resets, h0),
  };
}
