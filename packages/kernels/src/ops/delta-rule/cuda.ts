import type { ForwardCall } from '../../autograd/define-op.js';
import type { Kept } from '../../recurrence-op.js';
import type { RecurrenceParts } from '../../recurrence-parts.js';
import type { Tensor } from '../../tensor.js';
import { countChunks } from './chunk-flops.js';
import { dplrParts } from './cuda-dplr.js';
import { emptyGradients } from './gradients.js';
import { type DeltaRuleInputs, gateCodes } from './inputs.js';
import { type DeltaKind, isChunkwise, isOfTwoWrites, keptOfChunks, keptOfSegments } from './kept-on-gpu.js';
import type { DeltaRuleArguments, DeltaRuleCudaArguments } from './native.js';

interface Kind extends DeltaKind {
  readonly scaleOf: (q: Tensor) => number;
  readonly stateShape: (inputs: DeltaRuleInputs) => readonly number[];
  /** What the native functions begin with that have kernels of every kind. */
  readonly common: (call: ForwardCall, inputs: DeltaRuleInputs, resets: Tensor | null) => DeltaRuleArguments;
}

/** What the chunks of a slice are by themselves, and room for its segments where the device summarizes by chunks. */
interface Prepared extends Kept {
  readonly kept: Tensor;
  readonly segments: Tensor | null;
}

/** The recurrence on a GPU: chunks on the tensor cores where they apply, elsewhere, also where a GPU's blocks
 *  have too little shared memory, `general`, token by token in f32. */
export function cudaParts(
  kind: Kind,
  general: RecurrenceParts<DeltaRuleInputs>,
): RecurrenceParts<DeltaRuleInputs> {
  const hasTwo = isOfTwoWrites(kind);
  const chunkwise = hasTwo ? dplrParts(kind, general) : chunkwiseParts(kind, general);
  const takes = (call: ForwardCall, inputs: DeltaRuleInputs) =>
    hasTwo
      ? call.native.dplrCudaTakes(...kind.common(call, inputs, null))
      : call.native.deltaRuleCudaTakes(...argumentsOf(kind, call, inputs, null));
  const partsFor = (call: ForwardCall, inputs: DeltaRuleInputs) =>
    isChunkwise(kind, inputs) && takes(call, inputs) ? chunkwise : general;
  return {
    forward: (call, inputs, ...rest) => partsFor(call, inputs).forward(call, inputs, ...rest),
    prepare: (call, inputs, ...rest) => partsFor(call, inputs).prepare(call, inputs, ...rest),
    summarize: (call, inputs, ...rest) => partsFor(call, inputs).summarize(call, inputs, ...rest),
    finish: (call, inputs, ...rest) => partsFor(call, inputs).finish(call, inputs, ...rest),
    summarizeBackward: (call, inputs, ...rest) =>
      partsFor(call, inputs).summarizeBackward(call, inputs, ...rest),
    prepareBackward: (call, inputs, ...rest) => partsFor(call, inputs).prepareBackward(call, inputs, ...rest),
    finishBackward: (call, inputs, ...rest) => partsFor(call, inputs).finishBackward(call, inputs, ...rest),
  };
}

/** What all calls of a slice's chunkwise kernels begin with. */
function argumentsOf(
  { gate, scaleOf }: Kind,
  call: ForwardCall,
  { q, k, v, beta, g, b }: DeltaRuleInputs,
  resets: Tensor | null,
): DeltaRuleCudaArguments {
  const optional = [beta?.id ?? null, g?.id ?? null, b?.id ?? null, resets?.id ?? null] as const;
  return [call.stream, gateCodes[gate], scaleOf(q), q.id, k.id, v.id, ...optional];
}

/**
 * Inputs in bf16, gates and states in f32. A slice alone is one call; between others, its chunks are prepared once for
 * its summary and its outputs. Devices without the kernels of the summary take `general`'s.
 */
function chunkwiseParts(
  kind: Kind,
  general: RecurrenceParts<DeltaRuleInputs>,
): RecurrenceParts<DeltaRuleInputs> {
  const { gate, stateShape } = kind;
  const common = (
    call: ForwardCall,
    inputs: DeltaRuleInputs,
    resets: Tensor | null,
  ): DeltaRuleCudaArguments => argumentsOf(kind, call, inputs, resets);

  const roomToKeep = (call: ForwardCall, inputs: DeltaRuleInputs): Tensor =>
    call.empty([keptOfChunks(inputs, gate === 'diagonal') / 4]);

  return {
    forward(call, inputs, resets, h0) {
      const slice = common(call, inputs, resets);
      const kept = roomToKeep(call, inputs);
      const output = call.empty(inputs.v.shape, inputs.v.dtype);
      const finalState = call.empty(stateShape(inputs));
      call.native.deltaRuleCudaForward(
        ...slice,
        h0?.id ?? null,
        output.id,
        finalState.id,
        kept.id,
        false,
        null,
      );
      countChunks(call, inputs, 3, 2);
      return { output, kept: { kept }, finalState };
    },

    prepare(call, inputs, resets): Prepared {
      const slice = common(call, inputs, resets);
      const kept = roomToKeep(call, inputs);
      const isSummarized = call.native.deltaRuleCudaSummarizes(...slice);
      call.native.deltaRuleCudaPrepare(...slice, kept.id);
      countChunks(call, inputs, 0, 1);
      return { kept, segments: isSummarized ? call.empty([keptOfSegments(inputs) / 4]) : null };
    },

    summarize(call, inputs, resets, prepared) {
      const { kept, segments } = prepared as Prepared;
      if (segments === null) return general.summarize(call, inputs, resets, prepared);
      const [B, H, V, K] = stateShape(inputs) as [number, number, number, number];
      const state = call.empty([B, H, V, K]);
      const factor = call.empty([B, H, K, K]);
      const reset = resets && call.empty([B]);
      const results = [state.id, factor.id, reset?.id ?? null] as const;
      call.native.deltaRuleCudaSummarize(...common(call, inputs, resets), kept.id, ...results, segments.id);
      countChunks(call, inputs, 2 * (1 + K / V), 0);
      return { state, kind: 'dense', factor, reset };
    },

    finish(call, inputs, resets, prepared, incoming) {
      const { kept, segments } = prepared as Prepared;
      const slice = common(call, inputs, resets);
      const output = call.empty(inputs.v.shape, inputs.v.dtype);
      const [incomingId, segmentsId] = [incoming?.id ?? null, segments?.id ?? null];
      call.native.deltaRuleCudaForward(...slice, incomingId, output.id, null, kept.id, true, segmentsId);
      countChunks(call, inputs, 3, 1);
      return { output, kept: { kept, segments } };
    },

    summarizeBackward(call, inputs, resets, record, summary, outputGradient) {
      const { kept, segments } = record.kept as Prepared;
      if (segments === null)
        return general.summarizeBackward(call, inputs, resets, record, summary, outputGradient);
      const state = call.empty(stateShape(inputs));
      const slice = common(call, inputs, resets);
      const leaving = call.empty([call.native.deltaRuleCudaSummaryBackwardBytes(...slice) / 4]);
      const ids = [outputGradient.id, kept.id, segments.id, state.id, leaving.id] as const;
      call.native.deltaRuleCudaSummarizeBackward(...slice, ...ids);
      countChunks(call, inputs, 3, 1);
      return { ...summary, state, transposed: true, kept: { leaving } };
    },

    prepareBackward: (_call, _inputs, _resets, _record, _outputGradient, summarized) => ({
      leaving: summarized?.kept?.leaving ?? null,
    }),

    finishBackward(call, inputs, resets, record, prepared, outputGradient, outgoingAdjoint, wantIncoming) {
      const { gradients, ids } = emptyGradients(call, inputs);
      const [dq, dk, dv, dbeta, dg, db] = ids;
      const incoming = wantIncoming ? call.empty(stateShape(inputs)) : null;
      call.native.deltaRuleCudaBackward(
        ...common(call, inputs, resets),
        outputGradient.id,
        record.kept.kept!.id,
        record.kept.segments?.id ?? null,
        prepared.leaving?.id ?? null,
        record.incoming?.id ?? null,
        outgoingAdjoint?.id ?? null,
        ...[dq, dk, dv, dbeta, dg, db],
        incoming?.id ?? null,
      );
      countChunks(call, inputs, 9, 8);
      return { gradients, incoming };
    },
  };
}
