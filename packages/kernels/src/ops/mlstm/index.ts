import type { ForwardCall } from '../../autograd/define-op.js';
import type { ForwardRecord, Kept, RecurrenceInputs, RecurrenceOp } from '../../recurrence-op.js';
import { expectShape, type Tensor } from '../../tensor.js';
import { expectTypes, wideType } from '../../types-of.js';
import { resetBits } from '../reset-bits/index.js';
import type { MlstmArguments } from './native.js';
import './native.js';
import { mlstmReference } from './reference.js';

export interface MlstmInputs extends RecurrenceInputs {
  /** [B, T, H, K] */
  readonly q: Tensor;
  /** [B, T, H, K] */
  readonly k: Tensor;
  /** [B, T, H, V] */
  readonly v: Tensor;
  /** Log input gate, of any sign and size, [B, T, H]. */
  readonly i: Tensor;
  /** Log forget gate, <= 0, [B, T, H]. */
  readonly f: Tensor;
}

/** What the backward pass needs of each token. */
interface Tokens extends Kept {
  /** [B, T, H, V] */
  readonly h: Tensor;
  /** n · q at the scale exp(-m), [B, T, H]. */
  readonly normalizer: Tensor;
  /** The running maximum, [B, T, H]. */
  readonly m: Tensor;
}

/** `mlstmChunk` in mlstm.h. */
const chunk = 64;

/**
 * The matrix LSTM of xLSTM (https://arxiv.org/abs/2405.04517, equations 19 to 27), stabilised, in chunkwise form:
 * C_t = e^f C_{t-1} + e^i v_t k_tᵀ, n_t = e^f n_{t-1} + e^i k_t, h_t = C_t q_t / max(|n_t · q_t|, 1), q scaled by `scale`,
 * 1/√K by default. Output h [B, T, H, V].
 *
 * States are [B, H, V + 1, K + 1]: the rows of C, then n, each times exp(-m) and followed by m, the running maximum of
 * the log weights. m is no variable of the output, so it has no gradient: adjoints of states are zero there.
 */
export function mlstm(options: { scale?: number } = {}): RecurrenceOp<MlstmInputs> {
  const common = (
    call: ForwardCall,
    { q, k, v, i, f }: MlstmInputs,
    resets: Tensor | null,
    h0: Tensor | null,
  ): MlstmArguments => {
    const scale = options.scale ?? q.dim(3) ** -0.5;
    return [call.stream, scale, q.id, k.id, v.id, i.id, f.id, resets?.id ?? null, h0?.id ?? null];
  };
  /** FLOPs of `perToken` products with the state and `intra` products inside a tile of 16 tokens. */
  const count = (call: ForwardCall, { q, v }: MlstmInputs, perToken: number, intra: number): void => {
    const [K, V] = [q.dim(3), v.dim(3) + 1];
    call.device.flops += (q.size / K) * (2 * perToken * K * V + intra * 16 * (K + V));
  };
  const stateShape = ({ q, k, v, i, f }: MlstmInputs): readonly number[] => {
    expectShape('mlstm', 'q', q, [-1, -1, -1, -1]);
    const [B, T, H, K] = q.shape as [number, number, number, number];
    expectShape('mlstm', 'k', k, q.shape);
    expectShape('mlstm', 'v', v, [B, T, H, -1]);
    expectShape('mlstm', 'i', i, [B, T, H]);
    expectShape('mlstm', 'f', f, [B, T, H]);
    expectTypes('mlstm', { k, v }, q.dtype);
    expectTypes('mlstm', { i, f }, wideType(q.dtype));
    return [B, H, v.dim(3) + 1, K + 1];
  };
  const emptyTokens = (call: ForwardCall, { v, i }: MlstmInputs): Tokens => ({
    h: call.empty(v.shape, v.dtype),
    normalizer: call.empty(i.shape, i.dtype),
    m: call.empty(i.shape, i.dtype),
  });
  const tokensOf = ({ kept }: ForwardRecord): [number, number, number] => {
    const { h, normalizer, m } = kept as Tokens;
    return [h.id, normalizer.id, m.id];
  };

  return {
    name: 'mlstm',
    transition: 'log-max',
    causalOnly: 'an output divided by a normaliser of its state',
    stateShape,

    forward(call, inputs, resets, h0) {
      const finalState = call.empty(stateShape(inputs), wideType(inputs.v.dtype));
      const tokens = emptyTokens(call, inputs);
      const { h, normalizer, m } = tokens;
      const head = common(call, inputs, resets, h0);
      call.native.mlstmForward(...head, h.id, normalizer.id, m.id, null, finalState.id, null);
      count(call, inputs, 2, 1);
      return { output: h, finalState, kept: tokens };
    },

    prepare: () => ({}),

    summarize(call, inputs, resets) {
      const [B, H, R, N] = stateShape(inputs) as [number, number, number, number];
      const dtype = wideType(inputs.v.dtype);
      const state = call.empty([B, H, R, N], dtype);
      const factor = call.empty([B, H], dtype);
      const head = common(call, inputs, resets, null);
      call.native.mlstmForward(...head, null, null, null, null, state.id, factor.id);
      count(call, inputs, 1, 0);
      return { state, kind: 'log-max', factor, reset: resets && resetBits(call, resets, dtype) };
    },

    // Every output divides by a sum over all tokens, so a sweep from the incoming state costs less than a correction.
    finish(call, inputs, resets, _prepared, incoming) {
      const tokens = emptyTokens(call, inputs);
      const { h, normalizer, m } = tokens;
      const head = common(call, inputs, resets, incoming);
      call.native.mlstmForward(...head, h.id, normalizer.id, m.id, null, null, null);
      count(call, inputs, 2, 1);
      return { output: h, kept: tokens };
    },

    summarizeBackward(call, inputs, resets, record, summary, outputGradient) {
      const [B, H, R, N] = stateShape(inputs) as [number, number, number, number];
      const dtype = wideType(outputGradient.dtype);
      const state = call.empty([B, H, R, N], dtype);
      const factor = call.empty([B, H], dtype);
      const head = common(call, inputs, resets, record.incoming);
      call.native.mlstmAdjoint(...head, ...tokensOf(record), outputGradient.id, state.id, factor.id);
      count(call, inputs, 1, 0);
      return { state, kind: 'scalar', factor, reset: summary.reset, transposed: true };
    },

    prepareBackward(call, inputs, resets, { incoming }) {
      // A GPU walks over the chunks anew, with all of them side by side.
      if (call.device.isGpu) return { checkpoints: null };
      const [B, T, H, K] = inputs.q.shape as [number, number, number, number];
      const V = inputs.v.dim(3);
      const checkpoints = call.empty([B, H, Math.ceil(T / chunk), K, V + 1], wideType(inputs.v.dtype));
      const head = common(call, inputs, resets, incoming);
      call.native.mlstmForward(...head, null, null, null, checkpoints.id, null, null);
      count(call, inputs, 1, 0);
      return { checkpoints };
    },

    finishBackward(call, inputs, resets, record, prepared, outputGradient, outgoingAdjoint, wantIncoming) {
      const { q, k, v, i, f } = inputs;
      const [dq, dk, dv, di, df] = [q, k, v, i, f].map(({ shape, dtype }) => call.empty(shape, dtype)) as [
        Tensor,
        Tensor,
        Tensor,
        Tensor,
        Tensor,
      ];
      const incoming = wantIncoming ? call.empty(stateShape(inputs), wideType(v.dtype)) : null;
      call.native.mlstmBackward(
        ...common(call, inputs, resets, record.incoming),
        ...tokensOf(record),
        prepared.checkpoints?.id ?? null,
        outputGradient.id,
        outgoingAdjoint?.id ?? null,
        dq.id,
        dk.id,
        dv.id,
        di.id,
        df.id,
        incoming?.id ?? null,
      );
      count(call, inputs, 5, 3);
      return { gradients: { q: dq, k: dk, v: dv, i: di, f: df }, incoming };
    },

    reference({ q, k, v, i, f }, resets, h0) {
      const [B, T, H, K] = q!.shape as [number, number, number, number];
      const V = v!.shape[3]!;
      const call = { B, T, H, K, V, scale: options.scale ?? K ** -0.5, resets };
      const values = { q: q!.values, k: k!.values, v: v!.values, i: i!.values, f: f!.values };
      return mlstmReference(call, values, h0);
    },
  };
}
