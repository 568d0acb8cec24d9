import type { ForwardCall } from '../../autograd/define-op.js';
import { LongscanError } from '../../errors.js';
import type { RecurrenceInputs, RecurrenceOp, SegmentSummary } from '../../recurrence-op.js';
import { expectShape, type Tensor } from '../../tensor.js';
import { expectTypes, wideType } from '../../types-of.js';
import { sumRows } from '../sum-rows/index.js';
import type { SlstmArguments } from './native.js';
import './native.js';
import { slstmReference } from './reference.js';

export interface SlstmInputs extends RecurrenceInputs {
  /** What the gates get from the token, [B, T, H, 4, N]: input (its log), forget, cell, output, before their nonlinearities. */
  readonly gates: Tensor;
  /** What they get from h of the token before, from unit to gate and unit, [H, N, 4, N]. */
  readonly recurrent: Tensor;
}

function stateShape({ gates, recurrent }: SlstmInputs): readonly number[] {
  expectShape('slstm', 'gates', gates, [-1, -1, -1, 4, -1]);
  const [B, , H, , N] = gates.shape as [number, number, number, number, number];
  expectShape('slstm', 'recurrent', recurrent, [H, N, 4, N]);
  expectTypes('slstm', { recurrent }, wideType(gates.dtype));
  return [B, H, 4, N];
}

function common(
  call: ForwardCall,
  { gates, recurrent }: SlstmInputs,
  resets: Tensor | null,
  h0: Tensor | null,
): SlstmArguments {
  return [call.stream, gates.id, recurrent.id, resets?.id ?? null, h0?.id ?? null];
}

/** FLOPs of `products` with the recurrent weights, and of the cells. */
function count(call: ForwardCall, { gates }: SlstmInputs, products: number): void {
  call.device.flops += gates.size * (2 * products * gates.dim(-1) + 10);
}

/**
 * The scalar LSTM of xLSTM (https://arxiv.org/abs/2405.04517, equations 8 to 17), stabilised: with
 * i, f, z, o = gates_t + h_{t-1} R per head, c = σ(f) c + e^i tanh z, n = σ(f) n + e^i, h = σ(o) c / n.
 * Output h [B, T, H, N].
 *
 * The gates read h, so a slice is no affine map of its state (kind `opaque`): slices run one after the other. States are
 * [B, H, 4, N]: c and n times exp(-m), m, h. m is a scale and no variable of the output: it has no gradient.
 */
export const slstm: RecurrenceOp<SlstmInputs> = {
  name: 'slstm',
  transition: 'opaque',
  shared: ['recurrent'],
  causalOnly: 'gates that read the output before',
  stateShape,

  forward(call, inputs, resets, h0) {
    const { gates } = inputs;
    const [B, T, H, , N] = gates.shape as [number, number, number, number, number];
    const finalState = call.empty(stateShape(inputs), wideType(gates.dtype));
    const h = call.empty([B, T, H, N], gates.dtype);
    const sums = call.empty(gates.shape, wideType(gates.dtype));
    const cells = call.empty([B, T, H, 3, N], wideType(gates.dtype));
    const head = common(call, inputs, resets, h0);
    call.native.slstmForward(...head, h.id, sums.id, cells.id, finalState.id);
    count(call, inputs, 1);
    return { output: h, finalState, kept: { h, sums, cells } };
  },

  prepare: () => ({}),
  summarize: refuse,
  finish(call, inputs, resets, _prepared, incoming) {
    const { output, kept } = slstm.forward(call, inputs, resets, incoming);
    return { output, kept };
  },
  summarizeBackward: refuse,
  prepareBackward: () => ({}),

  finishBackward(call, inputs, resets, { kept, incoming }, _prepared, dH, outgoingAdjoint, wantIncoming) {
    const { gates, recurrent } = inputs;
    const dGates = call.empty(gates.shape, gates.dtype);
    const rows = call.empty([gates.dim(0), recurrent.size], recurrent.dtype);
    const dh0 = wantIncoming ? call.empty(stateShape(inputs), wideType(gates.dtype)) : null;
    call.native.slstmBackward(
      ...common(call, inputs, resets, incoming),
      kept.h!.id,
      kept.sums!.id,
      kept.cells!.id,
      dH.id,
      outgoingAdjoint?.id ?? null,
      dGates.id,
      rows.id,
      dh0?.id ?? null,
    );
    const dRecurrent = call.empty([recurrent.size], recurrent.dtype);
    sumRows(rows, dRecurrent, false);
    count(call, inputs, 2);
    return { gradients: { gates: dGates, recurrent: dRecurrent.view(recurrent.shape) }, incoming: dh0 };
  },

  reference({ gates, recurrent }, resets, h0) {
    const [B, T, H, , N] = gates!.shape as [number, number, number, number, number];
    return slstmReference({ B, T, H, N, resets }, gates!.values, recurrent!.values, h0);
  },
};

/** @throws LongscanError E-STRATEGY always: no segment describes a run of tokens */
function refuse(): SegmentSummary {
  throw new LongscanError({
    code: 'E-STRATEGY',
    where: 'slstm',
    found: 'a scan over what slices do to the state',
    expected: 'slices one after the other: its gates read the output before, so a slice is no affine map',
    fix: 'use the strategy ring',
    exitCode: 2,
  });
}
