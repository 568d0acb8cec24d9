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
  /** [B, T, 2 + V / K, H, K]: rows of queries, keys and values, as one product that gives all three leaves them. */
  readonly qkv: Tensor;
}

/** Whether this device has kernels for joined q and k of x's type, in heads of K channels, and v, in heads of V. */
export function takesJoinedHeads({ device, dtype }: Tensor, K: number, V: number): boolean {
  const isTaken = dtype === 'bf16' && K % 8 === 0 && V % K === 0 && V <= 256;
  return device.kind === 'cuda' && device.units === null && isTaken;
}

const name = 'gated-linear (identity, joined)';
const op = gatedLinear('identity');
const scaleOf = (qkv: Tensor): number => qkv.dim(-1) ** -0.5;

function stateShape(qkv: Tensor): readonly [B: number, H: number, V: number, K: number] {
  expectShape(name, 'qkv', qkv, [-1, -1, -1, -1, -1]);
  const [B, , parts, H, K] = qkv.shape as [number, number, number, number, number];
  return [B, H, (parts - 2) * K, K];
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
  (call, qkv) => ({ ...inHeads(cut(call, inRows(qkv), widths(qkv)), qkv, view), g: null }),
  (call, { q, k, v }, shape) => {
    const rows = [q!, k!, v!].map((x) => x.view([x.dim(0), x.dim(1), x.dim(2) * x.dim(3)]));
    return join(
      call,
      rows,
      rows.map((row) => row.dim(2)),
    ).view(shape);
  },
);

const view = (x: Tensor, shape: readonly number[]): Tensor => x.view(shape);
const inRows = (qkv: Tensor, shaped = view): Tensor =>
  shaped(qkv, [qkv.dim(0), qkv.dim(1), qkv.size / (qkv.dim(0) * qkv.dim(1))]);

/** Of q, k and v in a row. */
function widths(qkv: Tensor): number[] {
  const [, H, V, K] = stateShape(qkv);
  return [H * K, H * K, H * V];
}

function inHeads(
  rows: readonly Tensor[],
  qkv: Tensor,
  shaped: typeof view,
): { q: Tensor; k: Tensor; v: Tensor } {
  const [B, H, V, K] = stateShape(qkv);
  const T = qkv.dim(1);
  const [q, k, v] = rows as readonly [Tensor, Tensor, Tensor];
  return { q: shaped(q, [B, T, H, K]), k: shaped(k, [B, T, H, K]), v: shaped(v, [B, T, H, V]) };
}

/** q, k and v by themselves, differentiable. */
const apart = (qkv: Tensor) => inHeads(splitLast(inRows(qkv, reshape), widths(qkv)), qkv, reshape);

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
    const { values, shape } = qkv!;
    const [B, T, parts, H, K] = shape as [number, number, number, number, number];
    const [pitch, V] = [parts * H * K, (parts - 2) * K];
    const take = (first: number, size: number) => ({
      values: Float64Array.from(
        { length: B * T * H * size },
        (_, i) => values[Math.floor(i / (H * size)) * pitch + first + (i % (H * size))]!,
      ),
      shape: [B, T, H, size],
    });
    return op.reference({ q: take(0, K), k: take(H * K, K), v: take(2 * H * K, V), g: null }, resets, h0);
  },
};
