import type { ForwardCall } from '../../autograd/define-op.js';
import { ownReads } from '../../own-reads.js';
import type { Kept, RecurrenceOp } from '../../recurrence-op.js';
import { partsByDevice, type RecurrenceParts } from '../../recurrence-parts.js';
import { expectShape, type Tensor } from '../../tensor.js';
import { expectTypes, wideType } from '../../types-of.js';
import { cudaParts } from './cuda.js';
import { perHead, sumOfGroup, sumOverBatch } from './groups.js';
import { type BonusLinearInputs, type DecayKind, decayCodes, type GatedLinearInputs } from './inputs.js';
import { keptOnGpu } from './kept-on-gpu.js';
import type { GatedLinearArguments } from './native.js';
import './native.js';
import { gatedLinearReference } from './reference.js';
import { readByAll, writtenByAll } from './unordered.js';

export type { BonusLinearInputs, DecayKind, GatedLinearInputs } from './inputs.js';

/** The numbers of `Axis` in gated_linear.h: of the state's two axes, the one that a read contracts. */
const axisCodes = { key: 0, value: 1 } as const;

export interface GatedLinearOptions {
  /** Default: 1/√K. */
  readonly scale?: number;
  /**
   * The axis of the state that a diagonal decay acts on. `value`: S_t = S_{t-1} diag(a_t) + k_t v_tᵀ, v being slots with
   * a decay each: g is [B, T, H, V], a state [B, H, K, V] instead of [B, H, V, K], and q and k have H heads.
   */
  readonly decayOn?: 'key' | 'value';
}

/** What one forward sweep writes: output [B, T, H, V], the state after it, and the slice's M and reset bits. */
interface Sweep extends Kept {
  readonly output: Tensor;
  readonly state: Tensor;
  readonly factor: Tensor | null;
  readonly reset: Tensor | null;
}

/**
 * S_t = a_t S_{t-1} + k_t v_tᵀ, o_t = scale · S_tᵀ q_t, in chunkwise form (GLA, arXiv 2312.06635, sections 4.2-4.3;
 * Lightning Attention-2, arXiv 2401.04658, for the fixed decay; GSA, arXiv 2409.07146, for `decayOn: 'value'`).
 * With `read: 'exclusive'`, o_t = scale · (S_{t-1} + diag(u) k_t v_tᵀ)ᵀ q_t (RWKV-6, arXiv 2404.05892, section 4.2).
 */
export function gatedLinear(decay: DecayKind, options?: GatedLinearOptions): RecurrenceOp<GatedLinearInputs>;
export function gatedLinear(
  decay: DecayKind,
  options: GatedLinearOptions & { readonly read: 'exclusive'; readonly decayOn?: 'key' },
): RecurrenceOp<BonusLinearInputs>;
export function gatedLinear(
  decay: DecayKind,
  { scale, decayOn = 'key', read }: GatedLinearOptions & { readonly read?: 'exclusive' } = {},
): RecurrenceOp<GatedLinearInputs> {
  const name = `gated-linear (${[decay, decayOn === 'value' ? 'on values' : read].filter(Boolean).join(', ')})`;
  const hasGradient = decay === 'scalar' || decay === 'diagonal';
  // To the kernels a key is what the decay acts on. A state that decays along the values is the same state with keys
  // and values exchanged, and read along the other axis.
  const readAxis = axisCodes[decayOn];
  const gradientAxis = axisCodes[decayOn === 'key' ? 'value' : 'key'];
  const byAxis = (onKeys: Tensor, onValues: Tensor): [key: Tensor, value: Tensor] =>
    decayOn === 'key' ? [onKeys, onValues] : [onValues, onKeys];

  const factorOf = (q: Tensor): number => scale ?? q.dim(3) ** -0.5;
  const common = (
    call: ForwardCall,
    inputs: GatedLinearInputs,
    resets: Tensor | null,
  ): GatedLinearArguments => {
    const [key, value] = byAxis(inputs.k, inputs.v);
    const bonus = inputs.u?.id ?? null;
    const gate = inputs.g?.id ?? null;
    return [
      call.stream,
      decayCodes[decay],
      factorOf(inputs.q),
      key.id,
      value.id,
      gate,
      bonus,
      resets?.id ?? null,
    ];
  };
  /** FLOPs of `perToken` products with the K × V state and `intra` products inside a tile of 16 tokens. */
  const count = (call: ForwardCall, { q, v }: GatedLinearInputs, perToken: number, intra: number): void => {
    const [K, V] = [q.dim(3), v.dim(3)];
    call.device.flops += (v.size / V) * (2 * perToken * K * V + intra * 16 * (K + V));
  };
  const stateShape = (inputs: GatedLinearInputs): readonly [number, number, number, number] => {
    const { q, k, v, g, u } = inputs;
    expectShape(name, 'v', v, [-1, -1, -1, -1]);
    const [B, T, H] = v.shape as [number, number, number, number];
    expectShape(name, 'q', q, [B, T, -1, -1]);
    const [G, K] = [q.dim(2), q.dim(3)];
    // Groups that do not divide the heads, or that a decay along the values cannot have.
    if (decayOn === 'value' || H % G !== 0) expectShape(name, 'q', q, [B, T, H, K]);
    expectShape(name, 'k', k, q.shape);
    const [key, value] = byAxis(k, v);
    const gateShape = { 'fixed-scalar': [H], scalar: [B, T, H], diagonal: [B, T, H, key.dim(3)] };
    if (decay !== 'identity') expectShape(name, 'g', g ?? v, gateShape[decay]);
    if (read === 'exclusive') expectShape(name, 'u', u ?? v, [H, K]);
    expectTypes(name, { k, v }, q.dtype);
    expectTypes(name, { g, u }, wideType(q.dtype));
    return [B, H, value.dim(3), key.dim(3)];
  };

  const sweep = (
    call: ForwardCall,
    inputs: GatedLinearInputs,
    resets: Tensor | null,
    h0: Tensor | null,
  ): Sweep => {
    const [B, H, R, N] = stateShape(inputs);
    const { q, v } = inputs;
    const output = call.empty(v.shape, v.dtype);
    const stateType = wideType(v.dtype);
    const state = call.empty([B, H, R, N], stateType);
    const factor =
      decay === 'identity' ? null : call.empty(decay === 'diagonal' ? [B, H, N] : [B, H], stateType);
    const reset = resets && call.empty([B], stateType);
    call.native.gatedLinearSweep(
      ...common(call, inputs, resets),
      readAxis,
      q.id,
      h0?.id ?? null,
      output.id,
      state.id,
      factor?.id ?? null,
      reset?.id ?? null,
      null,
    );
    count(call, inputs, 2, 1);
    return { output, state, factor, reset };
  };

  const onCpu: RecurrenceParts<GatedLinearInputs> = {
    forward(call, inputs, resets, h0) {
      const { output, state } = sweep(call, inputs, resets, h0);
      return { output, finalState: state, kept: { output } };
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
        const slice = common(call, inputs, resets);
        call.native.gatedLinearCorrect(...slice, readAxis, inputs.q.id, incoming.id, output.id);
        count(call, inputs, 1, 0);
      }
      return { output, kept: { output } };
    },

    summarizeBackward(call, inputs, resets, _record, summary, outputGradient) {
      const adjoint = call.empty(stateShape(inputs), wideType(outputGradient.dtype));
      const [first, second] = byAxis(inputs.q, outputGradient);
      call.native.gatedLinearAdjoint(...common(call, inputs, resets), first.id, second.id, adjoint.id);
      count(call, inputs, 1, 0);
      return { ...summary, state: adjoint, transposed: true };
    },

    prepareBackward(call, inputs, resets, { incoming }, outputGradient) {
      const { q } = inputs;
      const [B, H, R, N] = stateShape(inputs);
      const dq = call.empty(perHead(q, H), q.dtype);
      const numChunks = Math.ceil(q.dim(1) / 64);
      const checkpoints = hasGradient ? call.empty([B, H, numChunks, N, R], wideType(q.dtype)) : null;
      call.native.gatedLinearSweep(
        ...common(call, inputs, resets),
        gradientAxis,
        outputGradient.id,
        incoming?.id ?? null,
        dq.id,
        null,
        null,
        null,
        checkpoints?.id ?? null,
      );
      count(call, inputs, 2, 1);
      return { dq, checkpoints };
    },

    finishBackward(call, inputs, resets, record, prepared, outputGradient, outgoingAdjoint, wantIncoming) {
      const { q, k, v, g } = inputs;
      const { dq, checkpoints } = prepared as { dq: Tensor; checkpoints: Tensor | null };
      const [first, second] = byAxis(q, outputGradient);
      const [firstGradient] = byAxis(dq, record.kept.output!);
      const dk = call.empty(perHead(k, v.dim(2)), k.dtype);
      const dv = call.empty(v.shape, v.dtype);
      const dg = hasGradient && g !== null ? call.empty(g.shape, g.dtype) : null;
      const bonusGradients = inputs.u ? call.empty([q.dim(0), inputs.u.size], inputs.u.dtype) : null;
      const incoming = wantIncoming ? call.empty(stateShape(inputs), wideType(v.dtype)) : null;
      const [keyGradient, valueGradient] = byAxis(dk, dv);
      call.native.gatedLinearWriteGrad(
        ...common(call, inputs, resets),
        first.id,
        firstGradient.id,
        second.id,
        checkpoints?.id ?? null,
        outgoingAdjoint?.id ?? null,
        record.incoming === null,
        keyGradient.id,
        valueGradient.id,
        dg?.id ?? null,
        bonusGradients?.id ?? null,
        incoming?.id ?? null,
      );
      count(call, inputs, 3, 2);
      const du = bonusGradients && sumOverBatch(call, bonusGradients, inputs.u!);
      const gradients = { q: sumOfGroup(call, dq, q), k: sumOfGroup(call, dk, k), v: dv, g: dg, u: du };
      return { gradients, incoming };
    },
  };
  const onGpu = cudaParts({ decay, code: decayCodes[decay], decayOn, scaleOf: factorOf, stateShape });

  return {
    name,
    transition: decay,
    shared: decay === 'fixed-scalar' ? ['g', 'u'] : ['u'],
    stateShape,
    ownReads: ({ q, k, v, u = null }) => ownReads({ q, k, v, u }, factorOf(q)),
    ...(decay === 'identity' &&
      read === undefined && {
        unordered: {
          write: writtenByAll,
          read: (inputs: GatedLinearInputs, state: Tensor) =>
            readByAll({ q: inputs.q, state }, factorOf(inputs.q)),
        },
      }),
    ...partsByDevice(onCpu, onGpu, keptOnGpu({ decay, decayOn })),

    reference({ q, k, v, g, u }, resets, h0) {
      const [B, T, H, V] = v!.shape as [number, number, number, number];
      const [G, K] = q!.shape.slice(2) as [number, number];
      const [output, finalState] = gatedLinearReference(
        { B, T, H, G, K, V, decay, decayOn, scale: scale ?? K ** -0.5, resets },
        {
          q: q!.values,
          k: k!.values,
          v: v!.values,
          g: g?.values ?? null,
          u: u?.values ?? null,
          h0,
        },
      );
      return { output, finalState };
    },
  };
}
