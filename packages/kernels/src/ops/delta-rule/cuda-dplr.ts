import type { ForwardCall } from '../../autograd/define-op.js';
import type { RecurrenceParts } from '../../recurrence-parts.js';
import type { Tensor } from '../../tensor.js';
import { countChunks } from './chunk-flops.js';
import { emptyGradients } from './gradients.js';
import type { DeltaRuleInputs } from './inputs.js';
import { keptOfDplrChunks } from './kept-on-gpu.js';
import type { DeltaRuleArguments } from './native.js';

interface Kind {
  readonly stateShape: (inputs: DeltaRuleInputs) => readonly number[];
  /** What every native function begins with. */
  readonly common: (call: ForwardCall, inputs: DeltaRuleInputs, resets: Tensor | null) => DeltaRuleArguments;
}

/**
 * The recurrences of two writes a row (`isOfTwoWrites`) on a GPU, by chunks on the tensor cores: inputs in bf16, gates and
 * states in f32. What a slice does to a state is `general`'s, token by token.
 */
export function dplrParts(
  { stateShape, common }: Kind,
  general: RecurrenceParts<DeltaRuleInputs>,
): RecurrenceParts<DeltaRuleInputs> {
  const sweep = (
    call: ForwardCall,
    inputs: DeltaRuleInputs,
    resets: Tensor | null,
    h0: Tensor | null,
    finalState: Tensor | null,
  ) => {
    const kept = call.empty([keptOfDplrChunks(inputs) / 4]);
    const output = call.empty(inputs.v.shape, inputs.v.dtype);
    const ids = [h0?.id ?? null, output.id, finalState?.id ?? null, kept.id] as const;
    call.native.dplrCudaForward(...common(call, inputs, resets), ...ids);
    countChunks(call, inputs, 4, 4);
    return { output, kept: { kept } };
  };

  return {
    ...general,
    forward(call, inputs, resets, h0) {
      const finalState = call.empty(stateShape(inputs));
      return { ...sweep(call, inputs, resets, h0, finalState), finalState };
    },
    finish: (call, inputs, resets, _prepared, incoming) => sweep(call, inputs, resets, incoming, null),
    finishBackward(call, inputs, resets, record, _prepared, outputGradient, outgoingAdjoint, wantIncoming) {
      const { gradients, ids } = emptyGradients(call, inputs);
      const incoming = wantIncoming ? call.empty(stateShape(inputs)) : null;
      call.native.dplrCudaBackward(
        ...common(call, inputs, resets),
        outputGradient.id,
        record.kept.kept!.id,
        outgoingAdjoint?.id ?? null,
        ...ids,
        incoming?.id ?? null,
      );
      countChunks(call, inputs, 8, 10);
      return { gradients, incoming };
    },
  };
}
