import {
  type DecayKind,
  type Device,
  type DType,
  fromArray,
  type GatedLinearInputs,
  gatedLinear,
  zeros,
} from '@longscan/kernels';
import { randomNormal, randomSource, randomUniform, sliceTokens } from '@longscan/kernels/testing';

/** A recurrence on a random layout: sizes, slices, documents and gates all from the seed. */
export interface RecurrenceCase {
  readonly kind: DecayKind;
  readonly dtype: DType;
  readonly B: number;
  readonly T: number;
  readonly H: number;
  readonly K: number;
  readonly V: number;
  /** Tokens of each rank's slice. */
  readonly lengths: readonly number[];
  /** i32 [B, T], or null. */
  readonly resets: Int32Array | null;
  readonly q: Float64Array;
  readonly k: Float64Array;
  readonly v: Float64Array;
  /** Null for identity; [H] for fixed-scalar, which is the same on all ranks. */
  readonly g: Float64Array | null;
  /** dL/dOutput [B, T, H, V] */
  readonly outputGradient: Float64Array;
}

export const opOf = ({ kind }: RecurrenceCase) => gatedLinear(kind);

export function recurrenceCase(kind: DecayKind, dtype: DType, seed: number): RecurrenceCase {
  const next = randomSource(seed);
  const upTo = (largest: number) => 1 + Math.floor(largest * next());
  const [B, H, K, V, numRanks] = [upTo(2), upTo(3), upTo(19), upTo(19), upTo(5)];
  const even = upTo(90);
  // Where M is known from the length, all slices have the same one.
  const lengths = Array.from({ length: numRanks }, () => (kind === 'fixed-scalar' ? even : upTo(90)));
  const T = lengths.reduce((sum, length) => sum + length, 0);
  const density = [0, 0, 0.02, 0.3][Math.floor(4 * next())]!;
  const resets = density === 0 ? null : Int32Array.from({ length: B * T }, () => Number(next() < density));
  const numGates = { identity: 0, 'fixed-scalar': H, scalar: B * T * H, diagonal: B * T * H * K }[kind];
  const strongest = [-1e-4, -0.3, -20][Math.floor(3 * next())]!;
  return {
    ...{ kind, dtype, B, T, H, K, V, lengths, resets },
    q: randomNormal(B * T * H * K, seed + 1),
    k: randomNormal(B * T * H * K, seed + 2),
    v: randomNormal(B * T * H * V, seed + 3),
    g: numGates === 0 ? null : randomUniform(numGates, seed + 4, strongest, 0),
    outputGradient: randomNormal(B * T * H * V, seed + 5),
  };
}

/** One slice on a device, inputs ready to receive gradients. */
export function uploadSlice(device: Device, problem: RecurrenceCase, begin: number, length: number) {
  const { kind, dtype, B, H, K, V, g, resets } = problem;
  const sliced = (values: Float64Array) => sliceTokens(values, problem, begin, length);
  const leaf = (values: Float64Array, shape: readonly number[]) => {
    const tensor = fromArray(device, values, shape, dtype);
    tensor.requiresGrad = true;
    tensor.gradient = zeros(device, shape, dtype);
    return tensor;
  };
  const gate =
    g === null
      ? null
      : kind === 'fixed-scalar'
        ? fromArray(device, g, [H], dtype)
        : leaf(sliced(g), kind === 'scalar' ? [B, length, H] : [B, length, H, K]);
  const inputs: GatedLinearInputs = {
    q: leaf(sliced(problem.q), [B, length, H, K]),
    k: leaf(sliced(problem.k), [B, length, H, K]),
    v: leaf(sliced(problem.v), [B, length, H, V]),
    g: gate,
  };
  return {
    inputs,
    outputGradient: fromArray(device, sliced(problem.outputGradient), [B, length, H, V], dtype),
    resets: resets && fromArray(device, sliceTokens(resets, problem, begin, length), [B, length], 'i32'),
  };
}
