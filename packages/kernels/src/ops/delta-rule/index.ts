import type { ForwardCall } from '../../autograd/define-op.js';
import { ownReads } from '../../own-reads.js';
import type { HostTensor, RecurrenceOp } from '../../recurrence-op.js';
import { partsByDevice } from '../../recurrence-parts.js';
import { sweepRecurrence } from '../../sweep-recurrence.js';
import { expectShape, type Tensor } from '../../tensor.js';
import { expectTypes, wideType } from '../../types-of.js';
import { cudaParts } from './cuda.js';
import { generalCudaParts } from './cuda-general.js';
import { emptyGradients } from './gradients.js';
import {
  type DeltaErase,
  type DeltaGate,
  type DeltaRead,
  type DeltaRuleInputs,
  eraseCodes,
  gateCodes,
  readCodes,
} from './inputs.js';
import { keptOnGpu } from './kept-on-gpu.js';
import './native.js';
import { deltaRuleReference } from './reference.js';

export type { DeltaErase, DeltaGate, DeltaRead, DeltaRuleInputs } from './inputs.js';

/** Rows between two states that are kept for the backward pass; `deltaChunk` of delta_rule.h. */
const chunkRows = 128;

export interface DeltaRuleOptions {
  readonly gate?: DeltaGate;
  readonly erase?: DeltaErase;
  readonly read?: DeltaRead;
  /** Steps of the recurrence for each token (Gated DeltaProduct's Householder products). */
  readonly rowsPerToken?: number;
  /** Of the output; default 1/√(size of a query). */
  readonly scale?: number;
}

/**
 * The delta rule and its relatives, whose M is dense:
 *
 *     S_t = a_t S_{t-1} + β_t k_t (v_t - S_{t-1}ᵀ b_t)ᵀ        o_t = scale · S_tᵀ q_t
 *
 * `erase: 'key'` has b = a ∘ k (DeltaNet, arXiv 2406.06484; Gated DeltaNet, 2412.06464; KDA, 2510.26692), `'own'` any b
 * (Comba, 2506.02475), `'dplr'` S_t = a_t S_{t-1} + β_t k_t v_tᵀ + e_t (S_{t-1}ᵀ b_t)ᵀ (RWKV-7, 2503.14456).
 * `read: 'value'` gives o_t = scale · S_t q_t: the gated Oja rule is the delta rule with keys and values exchanged.
 * In chunkwise form by tiles of 16 rows (the README has the formulas). Stable for β |k|² < 2 where the key erases.
 */
export function deltaRule(options: DeltaRuleOptions = {}): RecurrenceOp<DeltaRuleInputs> {
  const { gate = 'none', erase = 'key', read = 'key', rowsPerToken: n = 1 } = options;
  const name = `delta-rule (${gate}, ${erase})`;

  const factorOf = (q: Tensor): number => options.scale ?? q.dim(3) ** -0.5;

  const stateShape = ({ q, k, v, beta, g, b, e }: DeltaRuleInputs): readonly number[] => {
    const [B, T, H] = q.shape as [number, number, number, number];
    const [K, V] = [k.dim(-1), v.dim(-1)];
    const rows = n === 1 ? [B, T, H] : [B, T, n, H];
    expectShape(name, 'q', q, [-1, -1, -1, read === 'key' ? K : V]);
    expectShape(name, 'k', k, [...rows, K]);
    expectShape(name, 'v', v, [...rows, V]);
    if (beta !== null) expectShape(name, 'beta', beta, rows);
    if (gate !== 'none') expectShape(name, 'g', g ?? v, gate === 'scalar' ? [B, T, H] : [B, T, H, K]);
    if (erase !== 'key') expectShape(name, 'b', b ?? v, k.shape);
    if (erase === 'dplr') expectShape(name, 'e', e ?? v, k.shape);
    expectTypes(name, { k, v, b, e }, q.dtype);
    expectTypes(name, { beta, g }, wideType(q.dtype));
    return [B, H, V, K];
  };

  const common = (call: ForwardCall, { q, k, v, beta, g, b, e }: DeltaRuleInputs, resets: Tensor | null) => {
    const codes = [gateCodes[gate], eraseCodes[erase], readCodes[read]] as const;
    const optional = [beta?.id ?? null, g?.id ?? null, b?.id ?? null, e?.id ?? null] as const;
    return [call.stream, ...codes, factorOf(q), q.id, k.id, v.id, ...optional, resets?.id ?? null] as const;
  };
  /** FLOPs of `perRow` products with the K × `columns` state and `intra` products inside a tile of 16 rows. */
  const count = (
    call: ForwardCall,
    { k, v }: DeltaRuleInputs,
    perRow: number,
    intra: number,
    columns = v.dim(-1),
  ): void => {
    const K = k.dim(-1);
    call.device.flops += (k.size / K) * (2 * perRow * K * columns + intra * 16 * (K + columns));
  };

  const onCpu = sweepRecurrence<DeltaRuleInputs>({
    name,
    transition: 'dense',
    stateShape,
    ...(n === 1 && {
      ownReads: ({ q, k, v, beta }: DeltaRuleInputs) => {
        const [contracted, other] = read === 'key' ? [k, v] : [v, k];
        return ownReads({ q, k: contracted, v: other, beta }, factorOf(q));
      },
    }),

    forward(call, inputs, resets, h0) {
      const [B, H, V, K] = stateShape(inputs) as [number, number, number, number];
      const { q, v } = inputs;
      const output = call.empty([B, q.dim(1), H, read === 'key' ? V : K], v.dtype);
      const finalState = call.empty([B, H, V, K], wideType(v.dtype));
      const numChunks = Math.ceil((n * q.dim(1)) / chunkRows);
      const checkpoints = call.empty([B, H, numChunks, K, V], wideType(v.dtype));
      call.native.deltaRuleForward(
        ...common(call, inputs, resets),
        h0?.id ?? null,
        output.id,
        finalState.id,
        null,
        checkpoints.id,
      );
      count(call, inputs, 3, 2);
      return { output, finalState, kept: { checkpoints } };
    },

    summarize(call, inputs, resets) {
      const [B, H, V, K] = stateShape(inputs) as [number, number, number, number];
      const dtype = wideType(inputs.v.dtype);
      const state = call.empty([B, H, V, K], dtype);
      const factor = call.empty([B, H, K, K], dtype);
      call.native.deltaRuleForward(...common(call, inputs, resets), null, null, state.id, factor.id, null);
      count(call, inputs, 2, 1, V + K);
      return { state, factor };
    },

    adjoint(call, inputs, resets, outputGradient) {
      const adjoint = call.empty(stateShape(inputs), wideType(outputGradient.dtype));
      call.native.deltaRuleAdjoint(...common(call, inputs, resets), outputGradient.id, adjoint.id);
      count(call, inputs, 3, 2);
      return adjoint;
    },

    backward(call, inputs, resets, { kept }, outputGradient, outgoingAdjoint, wantIncoming) {
      const { gradients, ids } = emptyGradients(call, inputs);
      const incoming = wantIncoming ? call.empty(stateShape(inputs), wideType(inputs.v.dtype)) : null;
      call.native.deltaRuleBackward(
        ...common(call, inputs, resets),
        outputGradient.id,
        kept.checkpoints!.id,
        outgoingAdjoint?.id ?? null,
        ...ids,
        incoming?.id ?? null,
      );
      count(call, inputs, 9, 8);
      return { gradients, incoming };
    },

    reference({ q, k, v, beta, g, b, e }, resets, h0) {
      const [B, T] = q!.shape as [number, number];
      const [H, K] = k!.shape.slice(-2) as [number, number];
      const V = v!.shape.at(-1)!;
      const scale = options.scale ?? q!.shape[3]! ** -0.5;
      const values = (input: HostTensor | null) => input?.values ?? null;
      const [output, finalState] = deltaRuleReference(
        { B, T, n, H, K, V, gate, erase, read, scale, resets },
        {
          ...{ q: q!.values, k: k!.values, v: v!.values, h0 },
          ...{ beta: values(beta), g: values(g), b: values(b), e: values(e) },
        },
      );
      return { output, finalState };
    },
  });
  const kind = { gate, erase, isOneRowByKey: read === 'key' && n === 1 };
  const onGpu = cudaParts(
    { ...kind, scaleOf: factorOf, stateShape, common },
    generalCudaParts({ read, stateShape, common, count }),
  );
  return { ...onCpu, ...partsByDevice(onCpu, onGpu, keptOnGpu(kind)) };
}
