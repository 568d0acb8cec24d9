import type { ForwardCall } from '../../autograd/define-op.js';
import type { Kept, RecurrenceInputs, RecurrenceOp } from '../../recurrence-op.js';
import { expectShape, type Tensor } from '../../tensor.js';
import './native.js';
import { gatedLinearReference } from './reference.js';

/** The decay a_t of S_t = a_t S_{t-1} + k_t v_tᵀ: none, fixed per head, one per token and head, one per key channel. */
export type DecayKind = 'identity' | 'fixed-scalar' | 'scalar' | 'diagonal';

/** The numbers of `Decay` in gated_linear.h. */
const decayCodes: Readonly<Record<DecayKind, number>> = {
  identity: 0,
  'fixed-scalar': 1,
  scalar: 2,
  diagonal: 3,
};

export interface GatedLinearInputs extends RecurrenceInputs {
  /** [B, T, H, K] */
  readonly q: Tensor;
  /** [B, T, H, K] */
  readonly k: Tensor;
  /** [B, T, H, V] */
  readonly v: Tensor;
  /** Log decay, <= 0: identity null; fixed-scalar [H]; scalar [B, T, H]; diagonal [B, T, H, K]. */
  readonly g: Tensor | null;
}

/** What one forward sweep writes: output [B, T, H, V], the state after it, and the slice's M and reset bits. */
interface Sweep extends Kept {
  readonly output: Tensor;
  readonly state: Tensor;
  readonly factor: Tensor | null;
  readonly reset: Tensor | null;
}

/**
 * S_t = a_t S_{t-1} + k_t v_tᵀ, o_t = scale · q_tᵀ S_t, in chunkwise form (GLA, arXiv 2312.06635, sections 4.2-4.3;
 * Lightning Attention-2, arXiv 2401.04658, for the fixed decay). `scale` defaults to 1/√K.
 */
export function gatedLinear(
  decay: DecayKind,
  options: { scale?: number } = {},
): RecurrenceOp<GatedLinearInputs> {
  const hasGradient = decay === 'scalar' || decay === 'diagonal';

  type Common = [number, number, number, number, number, number, number | null, number | null];
  const common = (call: ForwardCall, { q, k, v, g }: GatedLinearInputs, resets: Tensor | null): Common => {
    const scale = options.scale ?? q.dim(3) ** -0.5;
    return [call.stream, decayCodes[decay], scale, q.id, k.id, v.id, g?.id ?? null, resets?.id ?? null];
  };
  /** FLOPs of `perToken` products with the K × V state and `intra` products inside a tile of 16 tokens. */
  const count = (call: ForwardCall, { q, v }: GatedLinearInputs, perToken: number, intra: number): void => {
    const [K, V] = [q.dim(3), v.dim(3)];
    call.device.flops += (q.size / K) * (2 * perToken * K * V + intra * 16 * (K + V));
  };
  const stateShape = ({ q, k, v, g }: GatedLinearInputs): readonly number[] => {
    const [B, T, H, K] = q.shape as [number, number, number, number];
    const V = v.dim(-1);
    expectShape(`gated-linear (${decay})`, 'q', q, [-1, -1, -1, -1]);
    expectShape(`gated-linear (${decay})`, 'k', k, q.shape);
    expectShape(`gated-linear (${decay})`, 'v', v, [B, T, H, V]);
    const gateShape = { 'fixed-scalar': [H], scalar: [B, T, H], diagonal: [B, T, H, K] };
    if (decay !== 'identity') expectShape(`gated-linear (${decay})`, 'g', g ?? v, gateShape[decay]);
    return [B, H, V, K];
  };

  const sweep = (
    call: ForwardCall,
    inputs: GatedLinearInputs,
    resets: Tensor | null,
    h0: Tensor | null,
  ): Sweep => {
    const [B, H, V, K] = stateShape(inputs) as [number, number, number, number];
    const { v } = inputs;
    const output = call.empty(v.shape, v.dtype);
    const state = call.empty([B, H, V, K], v.dtype);
    const factor =
      decay === 'identity' ? null : call.empty(decay === 'diagonal' ? [B, H, K] : [B, H], v.dtype);
    const reset = resets && call.empty([B], v.dtype);
    call.native.gatedLinearForward(
      ...common(call, inputs, resets),
      h0?.id ?? null,
      output.id,
      state.id,
      factor?.id ?? null,
      reset?.id ?? null,
    );
    count(call, inputs, 2, 1);
    return { output, state, factor, reset };
  };

  return {
    name: `gated-linear (${decay})`,
    transition: decay,
    stateShape,

    forward(call, inputs, resets, h0) {
      const { output, state } = sweep(call, inputs, resets, h0);
      return { output, finalState: state, kept: {} };
    },

    // One sweep gives the outputs of a zero state and the summary: on a CPU a second one would cost as much as the first.
    prepare: (call, inputs, resets) => sweep(call, inputs, resets, null),

    summarize: (_call, _inputs, _resets, prepared) => {
      const { state, factor, reset } = prepared as Sweep;
      return { state, kind: decay, factor, reset };
    },

    finish(call, inputs, resets, prepared, incoming) {
      const { output } = prepared as Sweep;
      if (incoming !== null) {
        call.native.gatedLinearCorrect(...common(call, inputs, resets), incoming.id, output.id);
        count(call, inputs, 1, 0);
      }
      return { output, kept: {} };
    },

    summarizeBackward(call, inputs, resets, _record, summary, outputGradient) {
      const adjoint = call.empty(stateShape(inputs), outputGradient.dtype);
      call.native.gatedLinearAdjoint(...common(call, inputs, resets), outputGradient.id, adjoint.id);
      count(call, inputs, 1, 0);
      return { ...summary, state: adjoint, transposed: true };
    },

    prepareBackward(call, inputs, resets, { incoming }, outputGradient) {
      const { q, v } = inputs;
      const [B, H, V, K] = stateShape(inputs) as [number, number, number, number];
      const dq = call.empty(q.shape, q.dtype);
      const numChunks = Math.ceil(q.dim(1) / 64);
      const checkpoints = hasGradient ? call.empty([B, H, numChunks, K, V], v.dtype) : null;
      call.native.gatedLinearQueryGrad(
        ...common(call, inputs, resets),
        incoming?.id ?? null,
        outputGradient.id,
        dq.id,
        checkpoints?.id ?? null,
      );
      count(call, inputs, 2, 1);
      return { dq, checkpoints };
    },

    finishBackward(call, inputs, resets, _record, prepared, outputGradient, outgoingAdjoint, wantIncoming) {
      const { k, v, g } = inputs;
      const { dq, checkpoints } = prepared as { dq: Tensor; checkpoints: Tensor | null };
      const dk = call.empty(k.shape, k.dtype);
      const dv = call.empty(v.shape, v.dtype);
      const dg = hasGradient && g !== null ? call.empty(g.shape, g.dtype) : null;
      const incoming = wantIncoming ? call.empty(stateShape(inputs), v.dtype) : null;
      call.native.gatedLinearKeyValueGrad(
        ...common(call, inputs, resets),
        outputGradient.id,
        dq.id,
        checkpoints?.id ?? null,
        outgoingAdjoint?.id ?? null,
        dk.id,
        dv.id,
        dg?.id ?? null,
        incoming?.id ?? null,
      );
      count(call, inputs, 3, 2);
      return { gradients: { q: dq, k: dk, v: dv, g: dg }, incoming };
    },

    reference({ q, k, v, g }, resets, h0) {
      const [B, T, H, K] = q!.shape as [number, number, number, number];
      const V = v!.shape[3]!;
      const scale = options.scale ?? K ** -0.5;
      const [output, finalState] = gatedLinearReference(
        { B, T, H, K, V, decay, scale, ...(resets && { resets }) },
        { q: q!.values, k: k!.values, v: v!.values, ...(g && { g: g.values }), ...(h0 && { h0 }) },
      );
      return { output, finalState };
    },
  };
}
