import { type Kept, type RecurrenceInputs, type RecurrenceOp, resetBits, swapAxes } from '@longscan/kernels';
import { evaluateOnHost } from './stepwise/definition-on-host.js';
import { probeFactor } from './stepwise/probe.js';
import type { StepDefinition } from './stepwise/step-definition.js';
import { reverseSweep, sweep } from './stepwise/sweeps.js';
import { leadingDims, TokenSlice } from './stepwise/token-slice.js';

export type { StepDefinition } from './stepwise/step-definition.js';

/**
 * A recurrence from a one-token function: trains, packs documents, generates and runs over ranks like one with a kernel,
 * by autograd through the steps; slow, since every token is a handful of small ops, several times over. What a slice
 * does to a state is found by probing. Every input is [B, T, H, …].
 */
export function stepwise<I extends RecurrenceInputs>(definition: StepDefinition<I>): RecurrenceOp<I> {
  const { name, transition } = definition;
  const nothing: Kept = {};
  const stateShape = (inputs: I): readonly number[] => {
    const [B, , H] = leadingDims(name, inputs);
    return [B, H, ...definition.stateShape(inputs)];
  };
  const forward: RecurrenceOp<I>['forward'] = (call, inputs, resets, h0) =>
    call.device.withoutTape(() =>
      call.device.scope(() => {
        const slice = new TokenSlice(inputs, resets, false);
        const { outputs, finalState, starts } = sweep(definition, slice, stateShape(inputs), h0);
        return { output: swapAxes(outputs), finalState, kept: { starts } };
      }),
    );

  return {
    name,
    transition,
    ...(!definition.affineOutput && {
      causalOnly: 'a step whose output is not said to be affine in the state',
    }),
    stateShape,
    forward,
    prepare: () => nothing,

    summarize: (call, inputs, resets) =>
      call.device.withoutTape(() =>
        call.device.scope(() => {
          const slice = new TokenSlice(inputs, resets, false);
          const swept = sweep(definition, slice, stateShape(inputs), null);
          const factor = probeFactor(definition, slice, swept);
          const reset = resets && resetBits(call, resets, slice.dtype);
          return { state: swept.finalState, kind: transition, factor, reset };
        }),
      ),

    finish: (call, inputs, resets, _prepared, incoming) => forward(call, inputs, resets, incoming),

    summarizeBackward: (call, inputs, resets, { kept }, summary, outputGradient) => ({
      ...summary,
      state: call.device.scope(() => {
        const slice = new TokenSlice(inputs, resets, false);
        return reverseSweep(definition, slice, kept.starts!, swapAxes(outputGradient), null);
      }),
      transposed: true,
    }),

    prepareBackward: () => nothing,

    finishBackward: (call, inputs, resets, { kept }, _prepared, outputGradient, outgoing, wantIncoming) =>
      call.device.scope(() => {
        const slice = new TokenSlice(inputs, resets, true);
        const adjoint = reverseSweep(definition, slice, kept.starts!, swapAxes(outputGradient), outgoing);
        return { gradients: slice.inputGradients(), incoming: wantIncoming ? adjoint : null };
      }),

    reference: (inputs, resets, h0) => evaluateOnHost(definition, inputs, resets, h0),
  };
}
