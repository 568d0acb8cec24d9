import type { ForwardCall } from '../../autograd/define-op.js';
import type { RecurrenceInputs, RecurrenceOp } from '../../recurrence-op.js';
import { sweepRecurrence } from '../../sweep-recurrence.js';
import { expectShape, type Tensor } from '../../tensor.js';
import { expectTypes, wideType } from '../../types-of.js';
import './native.js';
import { vectorScanReference } from './reference.js';

export interface VectorScanInputs extends RecurrenceInputs {
  /** [B, T, C] */
  readonly x: Tensor;
  /** Log decay, <= 0, [B, T, C]. */
  readonly g: Tensor;
}

/** A decay costs about this many FLOPs, the multiply-add included. */
const flopsPerStep = 3;

function stateShape({ x, g }: VectorScanInputs): readonly number[] {
  expectShape('vector-scan', 'x', x, [-1, -1, -1]);
  expectShape('vector-scan', 'g', g, x.shape);
  expectTypes('vector-scan', { g }, wideType(x.dtype));
  return [x.dim(0), x.dim(2), 1, 1];
}

/** The reverse sweep; without `h`, the outputs, only the adjoint of the incoming state. */
function sweepBack(
  call: ForwardCall,
  { g }: VectorScanInputs,
  resets: Tensor | null,
  dh: Tensor,
  dht: Tensor | null,
  saved: { h: Tensor; h0: Tensor | null } | null,
): { dx: Tensor | null; dg: Tensor | null; dh0: Tensor } {
  const dx = saved && call.empty(dh.shape, dh.dtype);
  const dg = saved && call.empty(g.shape, g.dtype);
  const dh0 = call.empty([g.dim(0), g.dim(2), 1, 1], wideType(dh.dtype));
  call.native.vectorScanBackward(
    call.stream,
    g.id,
    resets?.id ?? null,
    dh.id,
    dht?.id ?? null,
    saved?.h.id ?? null,
    saved?.h0?.id ?? null,
    dx?.id ?? null,
    dg?.id ?? null,
    dh0.id,
  );
  call.device.flops += (flopsPerStep + (saved ? 1 : 0)) * g.size;
  return { dx, dg, dh0 };
}

/**
 * h_t = exp(g_t) ∘ h_{t-1} + x_t per channel, output h [B, T, C] (HGRN, arXiv 2311.04823, equation 5 with the input gate
 * folded into x). States are [B, C, 1, 1]: every channel is a head of one number.
 */
export const vectorScan: RecurrenceOp<VectorScanInputs> = sweepRecurrence({
  name: 'vector-scan',
  transition: 'scalar',
  stateShape,
  ownReads: ({ x }) => x,

  forward(call, inputs, resets, h0) {
    const { x, g } = inputs;
    const finalState = call.empty(stateShape(inputs), wideType(x.dtype));
    const h = call.empty(x.shape, x.dtype);
    const starts = resets?.id ?? null;
    call.native.vectorScanForward(call.stream, g.id, starts, x.id, h0?.id ?? null, h.id, finalState.id, null);
    call.device.flops += flopsPerStep * x.size;
    return { output: h, finalState, kept: { h } };
  },

  summarize(call, inputs, resets) {
    const { x, g } = inputs;
    const state = call.empty(stateShape(inputs), wideType(x.dtype));
    const factor = call.empty([x.dim(0), x.dim(2)], wideType(x.dtype));
    const starts = resets?.id ?? null;
    call.native.vectorScanForward(call.stream, g.id, starts, x.id, null, null, state.id, factor.id);
    call.device.flops += flopsPerStep * x.size;
    return { state, factor };
  },

  adjoint: (call, inputs, resets, dh) => sweepBack(call, inputs, resets, dh, null, null).dh0,

  backward(call, inputs, resets, { kept, incoming }, dh, dht, wantIncoming) {
    const saved = { h: kept.h!, h0: incoming };
    const { dx, dg, dh0 } = sweepBack(call, inputs, resets, dh, dht, saved);
    return { gradients: { x: dx, g: dg }, incoming: wantIncoming ? dh0 : null };
  },

  reference({ x, g }, resets, h0) {
    const [B, T, C] = x!.shape as [number, number, number];
    return vectorScanReference({ B, T, C, resets }, x!.values, g!.values, h0);
  },
});
