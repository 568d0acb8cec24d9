import type { Device } from '../device.js';
import { fromArray, type Tensor } from '../tensor.js';
import { perturbedElements } from './perturbed-elements.js';

/** One input of a function under check. */
export interface CheckedInput {
  readonly values: ArrayLike<number>;
  readonly shape: readonly number[];
}

/** A gradient element that does not fit. */
export interface GradientMismatch {
  readonly input: string;
  readonly index: number;
  readonly analytic: number;
  readonly numeric: number;
}

export interface GradCheckOptions {
  /** Step of the central difference. */
  readonly epsilon?: number;
  readonly absolute?: number;
  readonly relative?: number;
  /** About so many elements of each input are perturbed, see `perturbedElements`. */
  readonly maxElements?: number;
}

/**
 * Compares every gradient of `compute` with central differences, in f64. The outputs are weighted with fixed
 * pseudo-random numbers, so that errors of opposite sign cannot cancel.
 *
 * `compute` receives f64 tensors by name and returns all outputs (of any shape). Returns the elements that differ by
 * more than `absolute + relative * |numeric|` (defaults as in torch.autograd.gradcheck: 1e-6 steps, 1e-5, 1e-3).
 */
export async function gradCheck(
  device: Device,
  inputs: Readonly<Record<string, CheckedInput>>,
  compute: (tensors: Readonly<Record<string, Tensor>>) => readonly Tensor[],
  options: GradCheckOptions = {},
): Promise<GradientMismatch[]> {
  const { epsilon = 1e-6, absolute = 1e-5, relative = 1e-3, maxElements = 24 } = options;
  const { gradients: analytic, weights } = await analyticGradients(device, inputs, compute);
  const tensors = upload(device, inputs);
  const mismatches: GradientMismatch[] = [];
  for (const [name, { values, shape }] of Object.entries(inputs)) {
    for (const index of perturbedElements(values.length, maxElements)) {
      const at = async (delta: number): Promise<number> => {
        const moved = Float64Array.from(values);
        moved[index]! += delta;
        const tensor = fromArray(device, moved, shape, 'f64');
        const sum = weightedSum(device, { ...tensors, [name]: tensor }, compute, weights);
        tensor.release();
        return sum;
      };
      // Both are enqueued before either is awaited: the second is prepared while the first is computed.
      const [above, below] = await Promise.all([at(epsilon), at(-epsilon)]);
      const numeric = (above - below) / (2 * epsilon);
      const found = analytic[name]![index]!;
      // Written so that NaN counts as a mismatch.
      if (!(Math.abs(found - numeric) <= absolute + relative * Math.abs(numeric))) {
        mismatches.push({ input: name, index, analytic: found, numeric });
      }
    }
  }
  for (const tensor of Object.values(tensors)) tensor.release();
  return mismatches;
}

async function analyticGradients(
  device: Device,
  inputs: Readonly<Record<string, CheckedInput>>,
  compute: (tensors: Readonly<Record<string, Tensor>>) => readonly Tensor[],
): Promise<{ gradients: Record<string, Float64Array>; weights: readonly Float64Array[] }> {
  const tensors = upload(device, inputs);
  const leaves = Object.entries(tensors);
  for (const [, tensor] of leaves) {
    tensor.requiresGrad = true;
    tensor.gradient = fromArray(device, new Float64Array(tensor.size), tensor.shape, 'f64');
  }
  const { result: outputs, tape } = device.record(() => compute(tensors));
  const weights = outputs.map(({ size }, i) => fixedWeights(size, i));
  const seeds = outputs.map(({ shape }, i) => fromArray(device, weights[i]!, shape, 'f64'));
  tape.backward(outputs, seeds);
  const gradients: Record<string, Float64Array> = {};
  for (const [name, tensor] of leaves) gradients[name] = await tensor.gradient!.readNumbers();
  for (const tensor of [...outputs, ...seeds]) tensor.release();
  for (const [, tensor] of leaves) {
    tensor.gradient!.release();
    tensor.release();
  }
  return { gradients, weights };
}

/** Enqueues before it first awaits. */
async function weightedSum(
  device: Device,
  tensors: Readonly<Record<string, Tensor>>,
  compute: (tensors: Readonly<Record<string, Tensor>>) => readonly Tensor[],
  weights: readonly Float64Array[],
): Promise<number> {
  const outputs = device.scope(() => compute(tensors));
  const read = outputs.map((output) => output.readNumbers());
  for (const output of outputs) output.release();
  let sum = 0;
  for (const [i, values] of (await Promise.all(read)).entries()) {
    const weight = weights[i]!;
    for (let j = 0; j < values.length; j++) sum += values[j]! * weight[j]!;
  }
  return sum;
}

function upload(device: Device, inputs: Readonly<Record<string, CheckedInput>>): Record<string, Tensor> {
  return Object.fromEntries(
    Object.entries(inputs).map(([name, { values, shape }]) => [
      name,
      fromArray(device, values, shape, 'f64'),
    ]),
  );
}

/** Fixed weights in [-1, 1], different for every output. */
function fixedWeights(size: number, output: number): Float64Array {
  return Float64Array.from({ length: size }, (_, i) => Math.sin(1 + 12.9898 * i + 78.233 * output));
}
