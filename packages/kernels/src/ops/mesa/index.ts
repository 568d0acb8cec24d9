import type { ForwardCall } from '../../autograd/define-op.js';
import type { ForwardRecord, Kept, RecurrenceInputs, RecurrenceOp } from '../../recurrence-op.js';
import { expectShape, type Tensor } from '../../tensor.js';
import { expectTypes, wideType } from '../../types-of.js';
import { resetBits } from '../reset-bits/index.js';
import { sumRows } from '../sum-rows/index.js';
import type { MesaArguments } from './native.js';
import './native.js';
import { mesaReference } from './reference.js';

export interface MesaInputs extends RecurrenceInputs {
  /** [B, T, H, K] */
  readonly q: Tensor;
  /** [B, T, H, K] */
  readonly k: Tensor;
  /** [B, T, H, V] */
  readonly v: Tensor;
  /** Write strength, >= 0, [B, T, H]. */
  readonly beta: Tensor;
  /** Log decay, <= 0, [B, T, H]. */
  readonly g: Tensor;
  /** The regulariser's diagonal, > 0, [H, K]. */
  readonly lambda: Tensor;
}

/** Room for a solution of every token; on a GPU rows are padded to a multiple of 8. */
function emptySolutions(call: ForwardCall, { q }: MesaInputs): Tensor {
  const [B, T, H, K] = q.shape as [number, number, number, number];
  const columns = call.device.isGpu ? Math.ceil(K / 8) * 8 : K;
  return call.empty([B, T, H, columns], wideType(q.dtype));
}

/** `mesaChunk` in mesa.h. */
const chunk = 32;

function stateShape({ q, k, v, beta, g, lambda }: MesaInputs): readonly number[] {
  expectShape('mesa', 'q', q, [-1, -1, -1, -1]);
  const [B, T, H, K] = q.shape as [number, number, number, number];
  expectShape('mesa', 'k', k, q.shape);
  expectShape('mesa', 'v', v, [B, T, H, -1]);
  expectShape('mesa', 'beta', beta, [B, T, H]);
  expectShape('mesa', 'g', g, [B, T, H]);
  expectShape('mesa', 'lambda', lambda, [H, K]);
  expectTypes('mesa', { k, v }, q.dtype);
  expectTypes('mesa', { beta, g, lambda }, wideType(q.dtype));
  return [B, H, K + v.dim(3), K];
}

function common(
  call: ForwardCall,
  { q, k, v, beta, g, lambda }: MesaInputs,
  resets: Tensor | null,
  h0: Tensor | null,
): MesaArguments {
  const ids = [q.id, k.id, v.id, beta.id, g.id, lambda.id] as const;
  return [call.stream, ...ids, resets?.id ?? null, h0?.id ?? null];
}

/** FLOPs of `perToken` products with the states and `solves` systems of K unknowns per token. */
function count(call: ForwardCall, { q, v }: MesaInputs, perToken: number, solves: number): void {
  const [K, V] = [q.dim(3), v.dim(3)];
  call.device.flops += (q.size / K) * (2 * perToken * K * (K + V) + solves * (K ** 3 / 3 + 2 * K * K));
}

/** The sweep of the solutions; with `adjoint` also dL/dh0 through this slice's outputs alone. */
function queryGrad(
  call: ForwardCall,
  inputs: MesaInputs,
  resets: Tensor | null,
  { kept, incoming }: ForwardRecord,
  dO: Tensor,
  adjoint: Tensor | null,
): Kept {
  const { q } = inputs;
  const [B, H, R, K] = stateShape(inputs) as [number, number, number, number];
  const dq = call.empty(q.shape, q.dtype);
  const dLambda = call.empty([B, H * K], wideType(q.dtype));
  const forRest = call.device.isGpu
    ? emptySolutions(call, inputs)
    : call.empty([B, H, Math.ceil(q.dim(1) / chunk), R, K], wideType(q.dtype));
  call.native.mesaQueryGrad(
    ...common(call, inputs, resets, incoming),
    kept.x!.id,
    dO.id,
    dq.id,
    dLambda.id,
    forRest.id,
    adjoint?.id ?? null,
  );
  count(call, inputs, adjoint === null ? 2 : 3, 1);
  return { dq, dLambda, forRest };
}

/**
 * The mesa layer of MesaNet (https://arxiv.org/abs/2506.05233, equation 5): Hkk_t = e^g Hkk_{t-1} + β k_t k_tᵀ,
 * Hkv_t = e^g Hkv_{t-1} + β v_t k_tᵀ, o_t = Hkv_t (Hkk_t + Λ)⁻¹ q_t, the regularised least-squares map from the keys so
 * far to their values, at q_t. Output o [B, T, H, V]. Every system is solved exactly (Cholesky).
 *
 * States are [B, H, K + V, K]: the rows of Hkk, which is symmetric, then those of Hkv.
 */
export const mesa: RecurrenceOp<MesaInputs> = {
  name: 'mesa',
  transition: 'scalar',
  shared: ['lambda'],
  causalOnly: 'a system of equations solved at every token',
  stateShape,

  forward(call, inputs, resets, h0) {
    const { v } = inputs;
    const finalState = call.empty(stateShape(inputs), wideType(v.dtype));
    const [o, x] = [call.empty(v.shape, v.dtype), emptySolutions(call, inputs)];
    call.native.mesaForward(...common(call, inputs, resets, h0), o.id, x.id, finalState.id, null);
    count(call, inputs, 1.5, 1);
    return { output: o, finalState, kept: { x } };
  },

  prepare: () => ({}),

  summarize(call, inputs, resets) {
    const dtype = wideType(inputs.v.dtype);
    const shape = stateShape(inputs);
    const state = call.empty(shape, dtype);
    const factor = call.empty(shape.slice(0, 2), dtype);
    call.native.mesaForward(...common(call, inputs, resets, null), null, null, state.id, factor.id);
    count(call, inputs, 1, 0);
    return { state, kind: 'scalar', factor, reset: resets && resetBits(call, resets, dtype) };
  },

  finish(call, inputs, resets, _prepared, incoming) {
    const { output, kept } = mesa.forward(call, inputs, resets, incoming);
    return { output, kept };
  },

  // Unlike that of a plain linear recurrence it needs the states, hence the incoming one: o is not linear in them.
  summarizeBackward(call, inputs, resets, record, summary, dO) {
    const state = call.empty(stateShape(inputs), wideType(dO.dtype));
    const kept = queryGrad(call, inputs, resets, record, dO, state);
    return { ...summary, state, transposed: true, kept };
  },

  prepareBackward: (call, inputs, resets, record, dO, summarized) =>
    summarized?.kept ?? queryGrad(call, inputs, resets, record, dO, null),

  finishBackward(call, inputs, resets, record, prepared, dO, outgoingAdjoint, wantIncoming) {
    const { q, k, v, beta, g, lambda } = inputs;
    const dq = prepared.dq!;
    const dk = call.empty(k.shape, k.dtype);
    const dv = call.empty(v.shape, v.dtype);
    const dBeta = call.empty(beta.shape, beta.dtype);
    const dg = call.empty(g.shape, g.dtype);
    const incoming = wantIncoming ? call.empty(stateShape(inputs), wideType(v.dtype)) : null;
    call.native.mesaKeyValueGrad(
      ...common(call, inputs, resets, record.incoming),
      record.kept.x!.id,
      dO.id,
      dq.id,
      prepared.forRest!.id,
      outgoingAdjoint?.id ?? null,
      dk.id,
      dv.id,
      dBeta.id,
      dg.id,
      incoming?.id ?? null,
    );
    const dLambda = call.empty([q.dim(2) * q.dim(3)], lambda.dtype);
    sumRows(prepared.dLambda!, dLambda, false);
    count(call, inputs, 4, 0);
    return {
      gradients: { q: dq, k: dk, v: dv, beta: dBeta, g: dg, lambda: dLambda.view(lambda.shape) },
      incoming,
    };
  },

  reference({ q, k, v, beta, g, lambda }, resets, h0) {
    const [B, T, H, K] = q!.shape as [number, number, number, number];
    const values = {
      q: q!.values,
      k: k!.values,
      v: v!.values,
      beta: beta!.values,
      g: g!.values,
      lambda: lambda!.values,
    };
    return mesaReference({ B, T, H, K, V: v!.shape[3]!, resets }, values, h0);
  },
};
