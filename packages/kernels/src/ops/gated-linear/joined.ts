import type { ForwardCall } from '../../autograd/define-op.js';
import { reshape } from '../../autograd/reshape.js';
import { ownReads } from '../../own-reads.js';
import type { RecurrenceGradients, RecurrenceInputs, RecurrenceOp } from '../../recurrence-op.js';
import { partsByDevice, type RecurrenceParts } from '../../recurrence-parts.js';
import { expectShape, type Tensor } from '../../tensor.js';
import { cut, join, splitLast } from '../columns/index.js';
import { cudaParts } from './cuda.js';
import { type GatedLinearInputs, gatedLinear } from './index.js';
import { readByAll, writtenByAll } from './unordered.js';

export interface JoinedHeads extends RecurrenceInputs {
  /** [B, T, 3, H, K]: queries, keys and values, as one product that gives all three leaves them in rows. */
  readonly qkv: Tensor;
}

/** Whether this device has kernels for q, k and v of x's type side by side, in heads of `size`. */
export function takesJoinedHeads({ device, dtype }: Tensor, size: number): boolean {
  const isTaken = dtype === 'bf16' && size % 8 === 0 && size <= 256;
  return device.kind === 'cuda' && device.units === null && isTaken;
}

const name = 'gated-linear (identity, joined)';
const op = gatedLinear('identity');
const scaleOf = (qkv: Tensor): number => qkv.dim(-1) ** -0.5;

function stateShape(qkv: Tensor): readonly [number, number, number, number] {
  expectShape(name, 'qkv', qkv, [-1, -1, 3, -1, -1]);
  return [qkv.dim(0), qkv.dim(3), qkv.dim(4), qkv.dim(4)];
}

/** The parts of `gatedLinear` for joined heads: how they take these, and what is made of the gradients that they give. */
function adapted(
  parts: RecurrenceParts<GatedLinearInputs>,
  take: (call: ForwardCall, qkv: Tensor) => GatedLinearInputs,
  joinGradients: (
    call: ForwardCall,
    gradients: RecurrenceGradients<GatedLinearInputs>['gradients'],
    shape: readonly number[],
  ) => Tensor,
): RecurrenceParts<JoinedHeads> {
  return {
    forward: (call, { qkv }, ...rest) => parts.forward(call, take(call, qkv), ...rest),
    prepare: (call, { qkv }, ...rest) => parts.prepare(call, take(call, qkv), ...rest),
    summarize: (call, { qkv }, ...rest) => parts.summarize(call, take(call, qkv), ...rest),
    finish: (call, { qkv }, ...rest) => parts.finish(call, take(call, qkv), ...rest),
    summarizeBackward: (call, { qkv }, ...rest) => parts.summarizeBackward(call, take(call, qkv), ...rest),
    prepareBackward: (call, { qkv }, ...rest) => parts.prepareBackward(call, take(call, qkv), ...rest),
    finishBackward(call, { qkv }, ...rest) {
      const { gradients, incoming } = parts.finishBackward(call, take(call, qkv), ...rest);
      return { gradients: { qkv: joinGradients(call, gradients, qkv.shape) }, incoming };
    },
  };
}

/** Kernels that read and write rows of all three. */
const onGpu = adapted(
  cudaParts({
    ...{ decay: 'identity', code: 0, decayOn: 'key', areJoined: true },
    ...{ scaleOf, stateShape: ({ q }) => stateShape(q) },
  }),
  (_call, qkv) => ({ q: qkv, k: qkv, v: qkv, g: null }),
  (_call, { v }) => v!,
);

/** Elsewhere copies. */
const elsewhere = adapted(
  op,
  (call, qkv) => {
    const [B, T, , H, K] = qkv.shape as [number, number, number, number, number];
    const rows = cut(call, qkv.view([B, T, 3 * H * K]), [H * K, H * K, H * K]);
    const [q, k, v] = rows.map((row) => row.view([B, T, H, K])) as [Tensor, Tensor, Tensor];
    return { q, k, v, g: null };
  },
  (call, { q, k, v }, shape) => {
    const rows = [q!, k!, v!].map((x) => x.view([x.dim(0), x.dim(1), x.dim(2) * x.dim(3)]));
    const sizes = rows.map((row) => row.dim(2));
    return join(call, rows, sizes).view(shape);
  },
);

/** Differentiable. */
function apart(qkv: Tensor): { q: Tensor; k: Tensor; v: Tensor } {
  const [B, T, , H, K] = qkv.shape as [number, number, number, number, number];
  const rows = splitLast(reshape(qkv, [B, T, 3 * H * K]), [H * K, H * K, H * K]);
  const [q, k, v] = rows.map((row) => reshape(row, [B, T, H, K])) as [Tensor, Tensor, Tensor];
  return { q, k, v };
}

/**
 * `gatedLinear('identity')` of queries, keys and values that lie side by side: on a GPU that `takesJoinedHeads` they come from
 * one product, and their gradients go into one.
 */
export const joinedGatedLinear: RecurrenceOp<JoinedHeads> = {
  name,
  transition: 'identity',
  stateShape: ({ qkv }) => stateShape(qkv),
  ownReads: ({ qkv }) => ownReads(apart(qkv), scaleOf(qkv)),
  unordered: {
    write: ({ qkv }) => writtenByAll(apart(qkv)),
    read: ({ qkv }, state) => readByAll({ q: apart(qkv).q, state }, scaleOf(qkv)),
  },
  ...partsByDevice(elsewhere, onGpu),

  reference({ qkv }, resets, h0) {
    const [B, T, , H, K] = qkv!.shape as [number, number, number, number, number];
    const size = H * K;
    const take = (which: number) => ({
      values: Float64Array.from({ length: B * T * size }, (_, i) => {
        const token = Math.floor(i / size);
        return qkv!.values[(token * 3 + which) * size + (i % size)]!;
      }),
      shape: [B, T, H, K],
    });
    return op.reference({ q: take(0), k: take(1), v: take(2), g: null }, resets, h0);
  },
};
