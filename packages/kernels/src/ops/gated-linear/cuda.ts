import type { ForwardCall } from '../../autograd/define-op.js';
import type { Kept } from '../../recurrence-op.js';
import type { RecurrenceParts } from '../../recurrence-parts.js';
import type { Tensor } from '../../tensor.js';
import { perHead, sumOfGroup, sumOverBatch } from './groups.js';
import type { DecayKind, GatedLinearInputs } from './inputs.js';
import type { GatedLinearCudaArguments } from './native.js';

/** One kind of the recurrence. */
interface Kind {
  readonly decay: DecayKind;
  /** The number of `decay`. */
  readonly code: number;
  /** Of queries with K channels. */
  readonly scaleOf: (q: Tensor) => number;
  /** q, k and v are one tensor [B, T, 2 + V / K, H, K], three times, and so are their gradients. Default: false. */
  readonly areJoined?: boolean;
  readonly decayOn: 'key' | 'value';
  readonly stateShape: (inputs: GatedLinearInputs) => readonly number[];
}

/** The numbers of `which` in `gatedLinearCudaBytes`. */
const memory = {
  states: 0,
  forward: 1,
  backward: 2,
  decayed: 3,
} as const;

/** What the summary of a slice leaves. */
interface Prepared extends Kept {
  readonly decayed: Tensor | null;
  readonly workspace: Tensor;
  readonly state: Tensor;
  readonly factor: Tensor | null;
  readonly reset: Tensor | null;
}

/**
 * The recurrence on a GPU: inputs in bf16 or f32, gates and states in f32. A slice alone is one sweep; between others its
 * summary comes first, whose workspace the sweep goes on from. Either keeps what a diagonal decay makes of its inputs for the
 * backward pass (5 to 7 tensors like k are read and written to make it again) and the states before its chunks (another
 * sweep).
 */
export function cudaParts(kind: Kind): RecurrenceParts<GatedLinearInputs> {
  const { decay, code, decayOn, scaleOf, areJoined = false, stateShape } = kind;
  const hasGradient = decay === 'scalar' || decay === 'diagonal';

  const common = (
    call: ForwardCall,
    inputs: GatedLinearInputs,
    resets: Tensor | null,
    decayed: Tensor | null = null,
  ): GatedLinearCudaArguments => {
    const { q, k, v, g, u } = inputs;
    const optional = [g?.id ?? null, u?.id ?? null, resets?.id ?? null, decayed?.id ?? null] as const;
    return [call.stream, code, decayOn === 'value', scaleOf(q), q.id, k.id, v.id, ...optional];
  };
  /** FLOPs of `perToken` products with the K × V state and `intra` products inside a chunk of 64 tokens. */
  const count = (call: ForwardCall, inputs: GatedLinearInputs, perToken: number, intra: number): void => {
    const [B, H, R, N] = stateShape(inputs) as [number, number, number, number];
    call.device.flops += B * inputs.q.dim(1) * H * (2 * perToken * R * N + intra * 64 * (R + N));
  };
  const outputShape = (inputs: GatedLinearInputs): readonly number[] => {
    if (!areJoined) return inputs.v.shape;
    const [B, H, V] = stateShape(inputs) as [number, number, number];
    return [B, inputs.v.dim(1), H, V];
  };
  const bytesFor = (call: ForwardCall, slice: GatedLinearCudaArguments, which: keyof typeof memory): Tensor =>
    call.empty([call.native.gatedLinearCudaBytes(...slice, memory[which]) / 4]);
  // Cheap: 168 MB a layer at 32K tokens, 4 heads of 256, 512, and 537 MB of states before every chunk, which a third more of
  // this op's backward pass makes again.
  const roomForDecayed = (
    call: ForwardCall,
    inputs: GatedLinearInputs,
    resets: Tensor | null,
  ): Tensor | null => {
    if (!call.keepsCheap) return null;
    const bytes = call.native.gatedLinearCudaBytes(...common(call, inputs, resets), memory.decayed);
    return bytes > 0 ? call.empty([bytes / 4]) : null;
  };

  const sweep = (
    call: ForwardCall,
    inputs: GatedLinearInputs,
    resets: Tensor | null,
    { decayed, workspace }: { readonly decayed: Tensor | null; readonly workspace: Tensor | null },
    h0: Tensor | null,
    finalState: Tensor | null,
  ) => {
    const slice = common(call, inputs, resets, decayed);
    const states = bytesFor(call, slice, 'states');
    const output = call.empty(outputShape(inputs), inputs.v.dtype);
    const [h0Id, finalId] = [h0?.id ?? null, finalState?.id ?? null];
    call.native.gatedLinearCudaForward(...slice, workspace?.id ?? null, h0Id, output.id, finalId, states.id);
    count(call, inputs, 2, 1);
    return { output, kept: { states, decayed } };
  };

  return {
    forward(call, inputs, resets, h0) {
      const finalState = call.empty(stateShape(inputs));
      const own = { decayed: roomForDecayed(call, inputs, resets), workspace: null };
      return { ...sweep(call, inputs, resets, own, h0, finalState), finalState };
    },

    prepare(call, inputs, resets): Prepared {
      const decayed = roomForDecayed(call, inputs, resets);
      const slice = common(call, inputs, resets, decayed);
      const [B, H, R, N] = stateShape(inputs) as [number, number, number, number];
      const workspace = bytesFor(call, slice, 'forward');
      const state = call.empty([B, H, R, N]);
      const factor = decay === 'identity' ? null : call.empty(decay === 'diagonal' ? [B, H, N] : [B, H]);
      const reset = resets && call.empty([B]);
      const results = [state.id, factor?.id ?? null, reset?.id ?? null] as const;
      call.native.gatedLinearCudaSummarize(...slice, workspace.id, ...results);
      count(call, inputs, 1, 0);
      return { decayed, workspace, state, factor, reset };
    },

    summarize(_call, _inputs, _resets, prepared) {
      const { state, factor, reset } = prepared as Prepared;
      return { state, kind: decay, factor, reset };
    },

    finish(call, inputs, resets, prepared, incoming) {
      return sweep(call, inputs, resets, prepared as Prepared, incoming, null);
    },

    summarizeBackward(call, inputs, resets, record, summary, outputGradient) {
      const slice = common(call, inputs, resets, record.kept.decayed);
      const workspace = bytesFor(call, slice, 'backward');
      const adjoint = call.empty(stateShape(inputs));
      call.native.gatedLinearCudaSummarizeBackward(...slice, workspace.id, outputGradient.id, adjoint.id);
      count(call, inputs, 1, 0);
      return { ...summary, state: adjoint, transposed: true, kept: { workspace } };
    },

    prepareBackward: (_call, _inputs, _resets, _record, _outputGradient, summarized) => ({
      workspace: summarized?.kept?.workspace ?? null,
    }),

    finishBackward(call, inputs, resets, record, prepared, outputGradient, outgoingAdjoint, wantIncoming) {
      const { q, k, v, g, u } = inputs;
      const [B, H, K] = [q.dim(0), v.dim(-2), q.dim(-1)];
      const dv = call.empty(v.shape, v.dtype);
      const ofHeads = (x: Tensor) => (areJoined ? dv : call.empty(perHead(x, H), x.dtype));
      const [dq, dk] = [ofHeads(q), ofHeads(k)];
      const dg = g !== null && hasGradient ? call.empty(g.shape) : null;
      const shares = u ? call.empty([B, H * K]) : null;
      const incoming = wantIncoming ? call.empty(stateShape(inputs)) : null;
      call.native.gatedLinearCudaBackward(
        ...common(call, inputs, resets, record.kept.decayed),
        prepared.workspace?.id ?? null,
        outputGradient.id,
        record.kept.states!.id,
        record.incoming === null,
        outgoingAdjoint?.id ?? null,
        dq.id,
        dk.id,
        dv.id,
        dg?.id ?? null,
        shares?.id ?? null,
        incoming?.id ?? null,
      );
      count(call, inputs, 5, 3);
      const du = shares && sumOverBatch(call, shares, u!);
      const gradients = { q: sumOfGroup(call, dq, q), k: sumOfGroup(call, dk, k), v: dv, g: dg, u: du };
      return { gradients, incoming };
    },
  };
}
