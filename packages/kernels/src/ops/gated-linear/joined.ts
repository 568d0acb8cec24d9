import type { ForwardCall } from '../../autograd/define-op.js';
import { reshape } from '../../autograd/reshape.js';
import { ownReads } from '../../own-reads.js';
import type { RecurrenceGradients, RecurrenceInputs, RecurrenceOp } from '../../recurrence-op.js';
import { partsByDevice, type RecurrenceParts } from '../../recurrence-parts.js';
import { expectShape, type Tensor } from '../../tensor.js';
import { cut, join, splitLast } from '../columns/index.js';
import { cudaParts } from './cuda.js';
import { gatedLinear } from './index.js';
import { decayCodes, type GatedLinearInputs } from './inputs.js';
import { readByAll, writtenByAll } from './unordered.js';

export interface JoinedHeads extends RecurrenceInputs {
  /** [B, T, 2 + V / K, H, K]: rows of queries, keys and values, as one product that gives all three leaves them. */
  readonly qkv: Tensor;
}

type Gradients = RecurrenceGradients<GatedLinearInputs>['gradients'];

/** Whether joined q and k of x's type, in heads of K channels, and v, in heads of V, pay on this device. */
export function takesJoinedHeads({ device, dtype }: Tensor, K: number, V: number): boolean {
  const fits = K % 8 === 0 && V % K === 0 && V <= 256;
  return device.kind === 'cuda' && device.units === null && dtype === 'bf16' && fits;
}

const op = gatedLinear('identity');
const scaleOf = (qkv: Tensor) => qkv.dim(-1) ** -0.5;

/** Kernels that read and write rows of all three. */
const onGpu = adapted(
  cudaParts({
    ...{ decay: 'identity', code: decayCodes.identity, decayOn: 'key', areJoined: true },
    ...{ scaleOf, stateShape: ({ q }) => stateShape(q) },
  }),
  (_call, { qkv }) => ({ q: qkv, k: qkv, v: qkv, g: null }),
  (_call, { v }) => v!,
);

/**
 * `gatedLinear('identity')` of queries, keys and values that lie side by side: on a GPU that `takesJoinedHeads` they come from
 * one product, and their gradients go into one.
 */
export const joinedLinear: RecurrenceOp<JoinedHeads> = {
  name: `${op.name}, joined`,
  transition: op.transition,
  stateShape: ({ qkv }) => stateShape(qkv),
  ownReads: ({ qkv }) => ownReads(apart(qkv), scaleOf(qkv)),
  unordered: {
    write: ({ qkv }) => writtenByAll(apart(qkv)),
    read: ({ qkv }, state) => readByAll({ q: apart(qkv).q, state }, scaleOf(qkv)),
  },
  ...partsByDevice(adapted(op, copiedApart, copiedTogether), onGpu),

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

/** The parts of `gatedLinear` for joined heads: how they take these, and what is made of the gradients that they give. */
function adapted(
  parts: RecurrenceParts<GatedLinearInputs>,
  take: (call: ForwardCall, heads: JoinedHeads) => GatedLinearInputs,
  together: (call: ForwardCall, gradients: Gradients, shape: readonly number[]) => Tensor,
): RecurrenceParts<JoinedHeads> {
  return {
    forward: (call, heads, ...rest) => parts.forward(call, take(call, heads), ...rest),
    prepare: (call, heads, ...rest) => parts.prepare(call, take(call, heads), ...rest),
    summarize: (call, heads, ...rest) => parts.summarize(call, take(call, heads), ...rest),
    finish: (call, heads, ...rest) => parts.finish(call, take(call, heads), ...rest),
    summarizeBackward: (call, heads, ...rest) => parts.summarizeBackward(call, take(call, heads), ...rest),
    prepareBackward: (call, heads, ...rest) => parts.prepareBackward(call, take(call, heads), ...rest),
    finishBackward(call, heads, ...rest) {
      const { gradients, incoming } = parts.finishBackward(call, take(call, heads), ...rest);
      return { gradients: { qkv: together(call, gradients, heads.qkv.shape) }, incoming };
    },
  };
}

function stateShape(qkv: Tensor): readonly [B: number, H: number, V: number, K: number] {
  expectShape('joined heads', 'qkv', qkv, [-1, -1, -1, -1, -1]);
  const [B, , parts, H, K] = qkv.shape as [number, number, number, number, number];
  return [B, H, (parts - 2) * K, K];
}

/** Numbers of q, k and v in a row. */
function widths(qkv: Tensor): number[] {
  const [, H, V, K] = stateShape(qkv);
  return [H * K, H * K, H * V];
}

type Shaped = (x: Tensor, shape: readonly number[]) => Tensor;
const viewed: Shaped = (x, shape) => x.view(shape);

/** q, k and v by themselves, by ways to give a tensor another shape and to cut its rows. */
function inHeads(
  qkv: Tensor,
  shaped: Shaped,
  cutRows: (rows: Tensor, sizes: readonly number[]) => readonly Tensor[],
): { q: Tensor; k: Tensor; v: Tensor } {
  const [B, H, V, K] = stateShape(qkv);
  const [T, sizes] = [qkv.dim(1), widths(qkv)];
  const rows = shaped(qkv, [B, T, sizes.reduce((sum, size) => sum + size, 0)]);
  const [q, k, v] = cutRows(rows, sizes) as readonly [Tensor, Tensor, Tensor];
  return { q: shaped(q, [B, T, H, K]), k: shaped(k, [B, T, H, K]), v: shaped(v, [B, T, H, V]) };
}

/** Differentiable. */
const apart = (qkv: Tensor) => inHeads(qkv, reshape, splitLast);

function copiedApart(call: ForwardCall, { qkv }: JoinedHeads): GatedLinearInputs {
  return { ...inHeads(qkv, viewed, (rows, sizes) => cut(call, rows, sizes)), g: null };
}

function copiedTogether(call: ForwardCall, { q, k, v }: Gradients, shape: readonly number[]): Tensor {
  const rows = [q!, k!, v!].map((x) => x.view([x.dim(0), x.dim(1), x.dim(2) * x.dim(3)]));
  const sizes = rows.map((row) => row.dim(2));
  return join(call, rows, sizes).view(shape);
}
