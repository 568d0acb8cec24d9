import {
  type DecayKind,
  type DeltaGate,
  type Device,
  deltaRule,
  gatedLinear,
  type RecurrenceInputs,
  type RecurrenceOp,
  type Tensor,
} from '@longscan/kernels';
import type { BenchOp, BenchShape } from '../protocol/bench.js';
import { randomTensor } from './random-tensor.js';

/** Of queries, keys, values and outputs; gates are f32. */
export type BenchType = 'f32' | 'bf16';

/** A recurrence with random inputs of the sizes that layers give it. */
export interface RecurrenceCase {
  readonly op: RecurrenceOp;
  readonly inputs: RecurrenceInputs;
}

type Build = (device: Device, shape: BenchShape, dtype: BenchType) => RecurrenceCase;

export const recurrenceCases: Readonly<Record<BenchOp, Build>> = {
  'linear-attention': linear('identity'),
  lightning: linear('fixed-scalar'),
  'simple-gla': linear('scalar'),
  gla: linear('diagonal'),
  deltanet: delta('none'),
  'gated-deltanet': delta('scalar'),
  kda: delta('diagonal'),
};

/** Log decays of a trained layer's size: a state that lives for some tens of tokens. */
const decayScale = 0.05;

function linear(decay: DecayKind): Build {
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

function delta(gate: DeltaGate): Build {
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
