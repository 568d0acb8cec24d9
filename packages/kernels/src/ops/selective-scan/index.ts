import type { ForwardCall } from '../../autograd/define-op.js';
import { rowSums } from '../../own-reads.js';
import type { RecurrenceInputs, RecurrenceOp } from '../../recurrence-op.js';
import { sweepRecurrence } from '../../sweep-recurrence.js';
import { expectShape, type Tensor } from '../../tensor.js';
import { expectTypes, wideType } from '../../types-of.js';
import { mulAlong } from '../broadcast/index.js';
import { mul } from '../pointwise/index.js';
import type { SelectiveScanArguments } from './native.js';
import './native.js';
import { selectiveScanReference } from './reference.js';

export interface SelectiveScanInputs extends RecurrenceInputs {
  /** [B, T, D] */
  readonly x: Tensor;
  /** Step sizes Δ > 0, [B, T, D]. */
  readonly delta: Tensor;
  /** Rates < 0, [D, N]. */
  readonly A: Tensor;
  /** [B, T, N] */
  readonly B: Tensor;
  /** [B, T, N] */
  readonly C: Tensor;
}

/** Tokens between two states that are kept for the backward pass; `selectiveChunk` in selective_scan.h. */
const chunkTokens = 64;

function stateShape({ x, delta, A, B, C }: SelectiveScanInputs): readonly number[] {
  expectShape('selective-scan', 'x', x, [-1, -1, -1]);
  const [numBatch, T, D] = x.shape as [number, number, number];
  expectShape('selective-scan', 'delta', delta, x.shape);
  expectShape('selective-scan', 'A', A, [D, -1]);
  const N = A.dim(1);
  expectShape('selective-scan', 'B', B, [numBatch, T, N]);
  expectShape('selective-scan', 'C', C, [numBatch, T, N]);
  expectTypes('selective-scan', { delta, B, C }, x.dtype);
  expectTypes('selective-scan', { A }, wideType(x.dtype));
  return [numBatch, D, 1, N];
}

/** The arguments that every native call begins with. */
function common(
  call: ForwardCall,
  { x, delta, A, B, C }: SelectiveScanInputs,
  resets: Tensor | null,
): SelectiveScanArguments {
  return [call.stream, x.id, delta.id, A.id, B.id, C.id, resets?.id ?? null];
}

/** Counts `perState` FLOPs for each token and number of state, an exponential taken as one. */
function count(call: ForwardCall, { x, A }: SelectiveScanInputs, perState: number): void {
  call.device.flops += perState * x.size * A.dim(1);
}

/**
 * Mamba's scan (S6, arXiv 2312.00752, equation 2 with the discretisation of section 3.6: exp(ΔA) and ΔB), without D:
 * h_t = exp(Δ_t A) ∘ h_{t-1} + Δ_t x_t B_tᵀ, y_t = h_t C_t, output y [B, T, D]. States are [B, D, 1, N]; of M only ΣΔ,
 * [B, D], travels. Nothing of size T × D × N is ever stored.
 */
export const selectiveScan: RecurrenceOp<SelectiveScanInputs> = sweepRecurrence({
  name: 'selective-scan',
  transition: 'exp-diagonal',
  shared: ['A'],
  stateShape,
  ownReads: ({ x, delta, B, C }) =>
    mulAlong(
      {
        a: mul({ a: delta, b: x }),
        b: rowSums(mul({ a: B, b: C }, wideType(x.dtype)), x.shape.slice(0, 2)),
      },
      0,
      x.dtype,
    ),

  forward(call, inputs, resets, h0) {
    const { x } = inputs;
    const [numBatch, D, , N] = stateShape(inputs) as [number, number, number, number];
    const output = call.empty(x.shape, x.dtype);
    const finalState = call.empty([numBatch, D, 1, N], wideType(x.dtype));
    const numChunks = Math.ceil(x.dim(1) / chunkTokens);
    const checkpoints = call.empty([numBatch, numChunks, D, N], wideType(x.dtype));
    call.native.selectiveScanForward(
      ...common(call, inputs, resets),
      h0?.id ?? null,
      output.id,
      checkpoints.id,
      finalState.id,
      null,
    );
    count(call, inputs, 7);
    return { output, finalState, kept: { checkpoints } };
  },

  summarize(call, inputs, resets) {
    const { x, A } = inputs;
    const state = call.empty(stateShape(inputs), wideType(x.dtype));
    const factor = call.empty([x.dim(0), x.dim(2)], wideType(x.dtype));
    call.native.selectiveScanForward(...common(call, inputs, resets), null, null, null, state.id, factor.id);
    count(call, inputs, 5);
    return { state, factor, rates: A };
  },

  adjoint(call, inputs, resets, dy) {
    const adjoint = call.empty(stateShape(inputs), wideType(dy.dtype));
    call.native.selectiveScanAdjoint(...common(call, inputs, resets), dy.id, adjoint.id);
    count(call, inputs, 5);
    return adjoint;
  },

  backward(call, inputs, resets, { kept }, dy, dht, wantIncoming) {
    const { x, delta, A, B, C } = inputs;
    const gradientOf = (tensor: Tensor) => call.empty(tensor.shape, tensor.dtype);
    const gradients = {
      x: gradientOf(x),
      delta: gradientOf(delta),
      A: gradientOf(A),
      B: gradientOf(B),
      C: gradientOf(C),
    };
    const incoming = call.empty(stateShape(inputs), wideType(x.dtype));
    call.native.selectiveScanBackward(
      ...common(call, inputs, resets),
      dy.id,
      kept.checkpoints!.id,
      dht?.id ?? null,
      gradients.x.id,
      gradients.delta.id,
      gradients.A.id,
      gradients.B.id,
      gradients.C.id,
      incoming.id,
    );
    count(call, inputs, 20);
    return { gradients, incoming: wantIncoming ? incoming : null };
  },

  reference({ x, delta, A, B, C }, resets, h0) {
    const [numBatch, numTokens, D] = x!.shape as [number, number, number];
    const call = { numBatch, numTokens, D, N: A!.shape[1]!, resets };
    const values = { x: x!.values, delta: delta!.values, A: A!.values, B: B!.values, C: C!.values };
    return selectiveScanReference(call, values, h0);
  },
});
