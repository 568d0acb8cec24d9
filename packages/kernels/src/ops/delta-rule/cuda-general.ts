import type { ForwardCall } from '../../autograd/define-op.js';
import type { RecurrenceParts } from '../../recurrence-parts.js';
import type { Tensor } from '../../tensor.js';
import { emptyGradients } from './gradients.js';
import type { DeltaRead, DeltaRuleInputs } from './inputs.js';
import { keptOfRows } from './kept-on-gpu.js';
import type { DeltaRuleArguments } from './native.js';

/** One kind of the recurrence. */
interface Kind {
  readonly read: DeltaRead;
  readonly stateShape: (inputs: DeltaRuleInputs) => readonly number[];
  /** What every native function begins with. */
  readonly common: (call: ForwardCall, inputs: DeltaRuleInputs, resets: Tensor | null) => DeltaRuleArguments;
  /** Counts FLOPs of `perRow` products with the state, or one of `columns` columns. */
  readonly count: (
    call: ForwardCall,
    inputs: DeltaRuleInputs,
    perRow: number,
    intra: number,
    columns?: number,
  ) => void;
}

/** Every kind of the recurrence on a GPU, in f32, token by token: inputs in bf16 or f32, gates, beta and states in f32. */
export function generalCudaParts({
  read,
  stateShape,
  common,
  count,
}: Kind): RecurrenceParts<DeltaRuleInputs> {
  const sweep = (
    call: ForwardCall,
    inputs: DeltaRuleInputs,
    resets: Tensor | null,
    h0: Tensor | null,
    finalState: Tensor | null,
  ) => {
    const slice = common(call, inputs, resets);
    const { q, k, v } = inputs;
    const kept = call.empty([keptOfRows(inputs) / 4]);
    const [B, T, H] = q.shape as [number, number, number];
    const output = call.empty([B, T, H, (read === 'key' ? v : k).dim(-1)], v.dtype);
    call.native.deltaGeneralCudaForward(...slice, h0?.id ?? null, output.id, finalState?.id ?? null, kept.id);
    count(call, inputs, 3, 0);
    return { output, kept: { kept } };
  };

  return {
    forward(call, inputs, resets, h0) {
      const finalState = call.empty(stateShape(inputs));
      return { ...sweep(call, inputs, resets, h0, finalState), finalState };
    },
    prepare: () => ({}),
    summarize(call, inputs, resets) {
      const [B, H, V, K] = stateShape(inputs) as [number, number, number, number];
      const state = call.empty([B, H, V, K]);
      const factor = call.empty([B, H, K, K]);
      const reset = resets && call.empty([B]);
      const slice = common(call, inputs, resets);
      call.native.deltaGeneralCudaSummarize(...slice, state.id, factor.id, reset?.id ?? null);
      count(call, inputs, 2, 0, V + K);
      return { state, kind: 'dense', factor, reset };
    },
    finish: (call, inputs, resets, _prepared, incoming) => sweep(call, inputs, resets, incoming, null),
    summarizeBackward(call, inputs, resets, _record, summary, outputGradient) {
      const state = call.empty(stateShape(inputs));
      const slice = common(call, inputs, resets);
      call.native.deltaGeneralCudaSummarizeBackward(...slice, outputGradient.id, state.id);
      count(call, inputs, 3, 0);
      return { ...summary, state, transposed: true };
    },
    prepareBackward: () => ({}),
    finishBackward(call, inputs, resets, record, _prepared, outputGradient, outgoingAdjoint, wantIncoming) {
      const { gradients, ids } = emptyGradients(call, inputs);
      const incoming = wantIncoming ? call.empty(stateShape(inputs)) : null;
      call.native.deltaGeneralCudaBackward(
        ...common(call, inputs, resets),
        outputGradient.id,
        record.kept.kept!.id,
        record.incoming?.id ?? null,
        outgoingAdjoint?.id ?? null,
        ...ids,
        incoming?.id ?? null,
      );
      count(call, inputs, 9, 0);
      return { gradients, incoming };
    },
  };
}
