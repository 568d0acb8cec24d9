import { perturbedElements } from '../autograd/perturbed-elements.js';
import { type Device, openCpuDevice } from '../device.js';
import type { DType, Tensor } from '../tensor.js';
import { expectClose } from './compare.js';
import { fromNumbers, roundedTo } from './from-numbers.js';
import { tolerances } from './tolerances.js';

type Values<N extends string> = Readonly<Record<N, Float64Array>>;
type Tensors<N extends string> = Readonly<Record<N, Tensor>>;

/** An op, its definition, and inputs to compare them on. */
export interface OpCheck<N extends string> {
  readonly name: string;
  /** Differentiable inputs, in f64. */
  readonly inputs: Readonly<Record<N, { readonly values: Float64Array; readonly shape: readonly number[] }>>;
  /** The op on tensors; tensors that are not differentiable (tokens, flags) it makes itself on `device`. */
  readonly op: (tensors: Tensors<N>, device: Device) => readonly Tensor[];
  /** The same outputs by the naive f64 definition. */
  readonly reference: (values: Values<N>) => readonly Float64Array[];
  /** Relative RMS allowed to the f32 kernels (forward and gradients). */
  readonly f32Tolerance?: number;
  /** About so many elements of each input are perturbed for central differences, see `perturbedElements`; default: 16. */
  readonly maxElements?: number;
}

/**
 * The check that every op passes, at every instruction-set level of this CPU and on NaN-poisoned memory:
 * f64 forward = reference; every f64 gradient = central differences of the *reference* (so the backward rule shares no
 * code with what it is checked against); f32 forward and gradients = the f64 ones.
 */
export async function checkOp<N extends string>(check: OpCheck<N>): Promise<void> {
  const names = Object.keys(check.inputs) as N[];
  const values = Object.fromEntries(names.map((n) => [n, check.inputs[n].values])) as Values<N>;
  const expected = check.reference(values);
  const numeric = centralDifferences(check, names, values);
  const device = openCpuDevice({ threads: 2, poison: true });
  const best = device.native.cpuInfo().level;
  try {
    for (let level = best; level >= 0; level--) {
      device.native.cpuLimit(level);
      const at = `${check.name}, level ${level}`;
      const exact = await runOp(device, check, names, 'f64');
      expected.forEach((value, i) => {
        expectClose(`${at}, f64 output ${i}`, exact.outputs[i]!, value, tolerances.f64);
      });
      for (const name of names) {
        const { indices, gradients, noise } = numeric[name];
        const found = indices.map((index) => exact.gradients[name][index]!);
        expectClose(`${at}, f64 gradient of ${name}`, found, gradients, tolerances.centralDifference, noise);
      }
      const single = await runOp(device, check, names, 'f32');
      const tolerance = check.f32Tolerance ?? tolerances.f32;
      expected.forEach((value, i) => {
        expectClose(`${at}, f32 output ${i}`, single.outputs[i]!, value, tolerance);
      });
      for (const name of names) {
        expectClose(
          `${at}, f32 gradient of ${name}`,
          single.gradients[name],
          exact.gradients[name],
          tolerance,
        );
      }
    }
  } finally {
    device.native.cpuLimit(best);
    device.close();
  }
}

/** Outputs and gradients of the op in one type, or with one for each input. */
export async function runOp<N extends string>(
  device: Device,
  check: OpCheck<N>,
  names: readonly N[],
  types: DType | Readonly<Record<N, DType>>,
): Promise<{ outputs: Float64Array[]; gradients: Record<N, Float64Array> }> {
  const tensors = Object.fromEntries(
    names.map((name) => {
      const { values, shape } = check.inputs[name];
      const dtype = typeof types === 'string' ? types : types[name];
      const tensor = fromNumbers(device, values, shape, dtype);
      tensor.requiresGrad = true;
      tensor.gradient = fromNumbers(device, new Float64Array(tensor.size), shape, dtype);
      return [name, tensor];
    }),
  ) as unknown as Tensors<N>;
  const { result, tape } = device.record(() => device.scope(() => check.op(tensors, device)));
  const seeds = result.map((output, i) =>
    fromNumbers(device, outputWeights(output.size, i), output.shape, output.dtype),
  );
  tape.backward(result, seeds);
  const outputs: Float64Array[] = [];
  for (const output of result) outputs.push(await output.readNumbers());
  const gradients = {} as Record<N, Float64Array>;
  for (const name of names) gradients[name] = await tensors[name].gradient!.readNumbers();
  for (const tensor of [...result, ...seeds]) tensor.release();
  for (const name of names) {
    tensors[name].gradient!.release();
    tensors[name].release();
  }
  return { outputs, gradients };
}

function centralDifferences<N extends string>(check: OpCheck<N>, names: readonly N[], values: Values<N>) {
  const step = 1e-6;
  // What rounding of the loss alone does to a difference quotient.
  const noise = (8 * Number.EPSILON * Math.abs(absoluteLoss(check, values))) / step;
  const loss = (changed: Values<N>): number =>
    check.reference(changed).reduce((total, output, i) => {
      const weights = outputWeights(output.length, i);
      return total + output.reduce((sum, value, j) => sum + value * weights[j]!, 0);
    }, 0);
  const result = {} as Record<N, { indices: number[]; gradients: number[]; noise: number }>;
  for (const name of names) {
    const indices = perturbedElements(values[name].length, check.maxElements ?? 16);
    const gradients = indices.map((index) => {
      const moved = (delta: number): Values<N> => {
        const copy = values[name].slice();
        copy[index]! += delta;
        return { ...values, [name]: copy };
      };
      return (loss(moved(step)) - loss(moved(-step))) / (2 * step);
    });
    result[name] = { indices, gradients, noise };
  }
  return result;
}

/** Sum of the magnitudes of the loss's terms. */
function absoluteLoss<N extends string>(check: OpCheck<N>, values: Values<N>): number {
  return check.reference(values).reduce((total, output, i) => {
    const weights = outputWeights(output.length, i);
    return total + output.reduce((sum, value, j) => sum + Math.abs(value * weights[j]!), 0);
  }, 0);
}

/** Fixed weights in [-1, 1], different for every output, so that errors of opposite sign cannot cancel; bf16 holds them. */
function outputWeights(size: number, output: number): Float64Array {
  return roundedTo(
    'bf16',
    Array.from({ length: size }, (_, i) => Math.sin(1 + 12.9898 * i + 78.233 * output)),
  );
}
