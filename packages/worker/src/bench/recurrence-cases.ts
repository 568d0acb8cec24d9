import {
  causalConv,
  type DecayKind,
  type DeltaGate,
  type Device,
  deltaRule,
  gatedLinear,
  ltiScan,
  mesa,
  mlstm,
  type RecurrenceInputs,
  type RecurrenceOp,
  selectiveScan,
  slstm,
  type Tensor,
  tokenShift,
  vectorScan,
} from '@longscan/kernels';
import type { BenchOp, BenchRecurrence, BenchShape } from '../protocol/bench.js';
import { randomTensor } from './random-tensor.js';

/** Of queries, keys, values and outputs; gates are f32. */
export type BenchType = 'f32' | 'bf16';

/** An op that is no recurrence. */
type OtherOp = (inputs: RecurrenceInputs) => Tensor;

/** A recurrence, or another op, with random inputs of the sizes that layers give it. */
export interface RecurrenceCase<Op extends RecurrenceOp | OtherOp = RecurrenceOp | OtherOp> {
  readonly op: Op;
  readonly inputs: RecurrenceInputs;
  /** Of the output's shape and type; left out: v, or else x. */
  readonly outputGradient?: Tensor;
}

type Build<Op extends RecurrenceOp | OtherOp> = (
  device: Device,
  shape: BenchShape,
  dtype: BenchType,
) => RecurrenceCase<Op>;

type Cases = { readonly [Op in BenchOp]: Build<Op extends BenchRecurrence ? RecurrenceOp : OtherOp> };

export const recurrenceCases: Cases = {
  'linear-attention': linear('identity'),
  lightning: linear('fixed-scalar'),
  'simple-gla': linear('scalar'),
  gla: linear('diagonal'),
  rwkv6,
  deltanet: delta('none'),
  'gated-deltanet': delta('scalar'),
  kda: delta('diagonal'),
  'gated-deltaproduct': householderProduct,
  comba,
  rwkv7,
  hgrn,
  mamba,
  mlstm: matrixLstm,
  s4d,
  s5,
  mesanet,
  slstm: scalarLstm,
  'short-convolution': shortConvolution,
  'token-shift': shift,
};

/** Log decays of a trained layer's size: a state that lives for some tens of tokens. */
const decayScale = 0.05;

function linear(decay: DecayKind): Build<RecurrenceOp> {
  return (device, { B, T, H, K, V }, dtype) => {
    const gates = { identity: null, 'fixed-scalar': [H], scalar: [B, T, H], diagonal: [B, T, H, K] }[decay];
    const inputs = {
      q: normal(device, [B, T, H, K], dtype, 1),
      k: normal(device, [B, T, H, K], dtype, 2),
      v: normal(device, [B, T, H, V], dtype, 3),
      g: gates && decays(device, gates),
    };
    return { op: gatedLinear(decay) as RecurrenceOp, inputs };
  };
}

function delta(gate: DeltaGate): Build<RecurrenceOp> {
  return (device, { B, T, H, K, V }, dtype) => {
    const gates = { none: null, scalar: [B, T, H], diagonal: [B, T, H, K] }[gate];
    const inputs = {
      q: normal(device, [B, T, H, K], dtype, 1),
      // Of length one, as the layer makes them: the rule is unstable for longer ones.
      k: normal(device, [B, T, H, K], dtype, 2, K ** -0.5),
      v: normal(device, [B, T, H, V], dtype, 3),
      beta: learned(randomTensor(device, [B, T, H], 'f32', 5, (x) => 1 / (1 + Math.exp(-x)))),
      g: gates && decays(device, gates),
      b: null,
      e: null,
    };
    return { op: deltaRule({ gate }) as RecurrenceOp, inputs };
  };
}

/** With a bonus: of itself a token reads as much as that says. */
function rwkv6(device: Device, shape: BenchShape, dtype: BenchType): RecurrenceCase<RecurrenceOp> {
  const { H, K } = shape;
  const { inputs } = linear('diagonal')(device, shape, dtype);
  const op = gatedLinear('diagonal', { read: 'exclusive', scale: 1 });
  return { op: op as RecurrenceOp, inputs: { ...inputs, u: normal(device, [H, K], 'f32', 5) } };
}

/** Delta steps of a token, as in the layer's defaults. */
const householders = 2;

function householderProduct(
  device: Device,
  { B, T, H, K, V }: BenchShape,
  dtype: BenchType,
): RecurrenceCase<RecurrenceOp> {
  const rows = [B, T, householders, H];
  const inputs = {
    q: normal(device, [B, T, H, K], dtype, 1),
    k: normal(device, [...rows, K], dtype, 2, K ** -0.5),
    v: normal(device, [...rows, V], dtype, 3),
    beta: learned(randomTensor(device, rows, 'f32', 5, (x) => 1 / (1 + Math.exp(-x)))),
    g: decays(device, [B, T, H]),
    b: null,
    e: null,
  };
  const op = deltaRule({ gate: 'scalar', rowsPerToken: householders });
  return { op: op as RecurrenceOp, inputs, outputGradient: normal(device, [B, T, H, V], dtype, 6) };
}

function comba(device: Device, shape: BenchShape, dtype: BenchType): RecurrenceCase<RecurrenceOp> {
  const { B, T, H, K } = shape;
  const { inputs } = delta('scalar')(device, shape, dtype);
  const b = normal(device, [B, T, H, K], dtype, 6, K ** -0.5);
  return { op: deltaRule({ gate: 'scalar', erase: 'own' }) as RecurrenceOp, inputs: { ...inputs, b } };
}

function rwkv7(device: Device, shape: BenchShape, dtype: BenchType): RecurrenceCase<RecurrenceOp> {
  const { B, T, H, K } = shape;
  const { inputs } = delta('diagonal')(device, shape, dtype);
  // The layer erases along a key of length one and writes back a part of it.
  const [size, part] = [K ** -0.5, -0.5];
  const b = normal(device, [B, T, H, K], dtype, 6, size);
  const e = normal(device, [B, T, H, K], dtype, 6, part * size);
  return {
    op: deltaRule({ gate: 'diagonal', erase: 'dplr', scale: 1 }) as RecurrenceOp,
    inputs: { ...inputs, beta: null, b, e },
  };
}

function hgrn(device: Device, { B, T, H, V }: BenchShape, dtype: BenchType): RecurrenceCase<RecurrenceOp> {
  const shape = [B, T, H * V];
  const inputs = { x: normal(device, shape, dtype, 1), g: decays(device, shape) };
  return { op: vectorScan as RecurrenceOp, inputs };
}

/** Numbers of state per channel, as in the layer's defaults. */
const mambaStates = 16;
const convolutionTaps = 4;

function mamba(device: Device, { B, T, H, V }: BenchShape, dtype: BenchType): RecurrenceCase<RecurrenceOp> {
  const [D, N] = [H * V, mambaStates];
  const inputs = {
    x: normal(device, [B, T, D], dtype, 1),
    delta: learned(randomTensor(device, [B, T, D], dtype, 2, (x) => decayScale * Math.abs(x) + 1e-3)),
    A: learned(randomTensor(device, [D, N], 'f32', 3, (x) => -Math.abs(x) - 1)),
    B: normal(device, [B, T, N], dtype, 4),
    C: normal(device, [B, T, N], dtype, 5),
  };
  return { op: selectiveScan as RecurrenceOp, inputs };
}

function matrixLstm(
  device: Device,
  { B, T, H, K, V }: BenchShape,
  dtype: BenchType,
): RecurrenceCase<RecurrenceOp> {
  const inputs = {
    q: normal(device, [B, T, H, K], dtype, 1),
    k: normal(device, [B, T, H, K], dtype, 2),
    v: normal(device, [B, T, H, V], dtype, 3),
    i: normal(device, [B, T, H], 'f32', 5),
    f: decays(device, [B, T, H]),
  };
  return { op: mlstm() as RecurrenceOp, inputs };
}

/** Complex numbers of state per channel of S4D, as in the layer's defaults. */
const s4dModes = 32;

function s4d(device: Device, { B, T, H, V }: BenchShape, dtype: BenchType): RecurrenceCase<RecurrenceOp> {
  const C = H * V;
  const u = normal(device, [B, T, C], dtype, 1);
  const inputs = {
    u,
    logLambda: decays(device, [C, s4dModes, 2]),
    w: normal(device, [C, s4dModes, 2], 'f32', 2),
  };
  return { op: ltiScan('real') as RecurrenceOp, inputs, outputGradient: u };
}

function s5(device: Device, { B, T, H, V }: BenchShape, dtype: BenchType): RecurrenceCase<RecurrenceOp> {
  const C = H * V;
  const u = normal(device, [B, T, 2 * C], dtype, 1);
  const inputs = { u, logLambda: decays(device, [C, 1, 2]), w: normal(device, [C, 1, 2], 'f32', 2) };
  return { op: ltiScan('complex') as RecurrenceOp, inputs, outputGradient: u };
}

function mesanet(
  device: Device,
  { B, T, H, K, V }: BenchShape,
  dtype: BenchType,
): RecurrenceCase<RecurrenceOp> {
  const inputs = {
    q: normal(device, [B, T, H, K], dtype, 1, K ** -0.5),
    k: normal(device, [B, T, H, K], dtype, 2, K ** -0.5),
    v: normal(device, [B, T, H, V], dtype, 3),
    beta: learned(randomTensor(device, [B, T, H], 'f32', 5, (x) => 1 / (1 + Math.exp(-x)))),
    g: decays(device, [B, T, H]),
    lambda: learned(randomTensor(device, [H, K], 'f32', 6, (x) => 0.25 + Math.abs(x))),
  };
  return { op: mesa as RecurrenceOp, inputs };
}

/** K units a head. */
function scalarLstm(
  device: Device,
  { B, T, H, K: N }: BenchShape,
  dtype: BenchType,
): RecurrenceCase<RecurrenceOp> {
  const inputs = {
    gates: normal(device, [B, T, H, 4, N], dtype, 1),
    recurrent: normal(device, [H, N, 4, N], 'f32', 2, N ** -0.5),
  };
  return { op: slstm as RecurrenceOp, inputs, outputGradient: normal(device, [B, T, H, N], dtype, 3) };
}

function shortConvolution(
  device: Device,
  { B, T, H, V }: BenchShape,
  dtype: BenchType,
): RecurrenceCase<OtherOp> {
  const D = H * V;
  const inputs = {
    x: normal(device, [B, T, D], dtype, 1),
    weight: normal(device, [D, convolutionTaps], dtype, 2),
    bias: normal(device, [D], dtype, 3),
  };
  const op: OtherOp = ({ x, weight, bias }) =>
    causalConv({ x: x!, weight: weight!, bias: bias!, halo: null }, { resets: null, activation: 'silu' });
  return { op, inputs };
}

function shift(device: Device, { B, T, H, V }: BenchShape, dtype: BenchType): RecurrenceCase<OtherOp> {
  return {
    op: ({ x }) => tokenShift({ x: x!, halo: null }, null),
    inputs: { x: normal(device, [B, T, H * V], dtype, 1) },
  };
}

function decays(device: Device, shape: readonly number[]): Tensor {
  return learned(randomTensor(device, shape, 'f32', 4, (x) => -decayScale * Math.abs(x)));
}

function normal(device: Device, shape: readonly number[], dtype: BenchType, seed: number, scale = 1): Tensor {
  return learned(randomTensor(device, shape, dtype, seed, (x) => scale * x));
}

function learned(tensor: Tensor): Tensor {
  tensor.requiresGrad = true;
  return tensor;
}
