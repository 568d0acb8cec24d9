import * as assert from 'uvu/assert';
import type { Device } from '../../device.js';
import { fromArray, type Tensor, zeros } from '../../tensor.js';
import { randomNormal } from '../../testing/index.js';
import { clipFactor, sumOfSquares } from '../grad-norm/index.js';
import { adamw, type MomentRounding } from './index.js';
import { noiseReference, roundedReference } from './reference.js';

// What the tests of moments in bf16, on CPU and GPU, are made of.

const options = { learningRate: 0.01, eps: 1e-8, weightDecay: 0.1 };
/** Beyond 2^32 blocks, and inside one. */
export const rounding: MomentRounding = { key: [0xdead_beef, 7], firstElement: 2 ** 35 + 4093 };

/** Parameter, m and v after a step from `gradient`, as read. */
interface Found {
  readonly parameter: Float32Array;
  readonly m: Uint16Array;
  readonly v: Uint16Array;
}

/** `numSteps` steps on normal gradients, cut into calls for elements [cuts[i], cuts[i + 1]). */
export async function trainRounded(
  device: Device,
  size: number,
  numSteps: number,
  cuts: readonly number[] = [0, size],
): Promise<Found> {
  const parameter = fromArray(device, randomNormal(size, 1), [size]);
  const [m, v] = [zeros(device, [size], 'bf16'), zeros(device, [size], 'bf16')];
  for (let step = 1; step <= numSteps; step++) {
    // Of many sizes, so that what is rounded is too.
    const values = randomNormal(size, 10 + step).map((value, i) => value * 2 ** (-i % 30));
    const gradient = fromArray(device, values, [size]);
    const clip = clipFactor(sumOfSquares(gradient), 0.5);
    for (const [i, begin] of cuts.slice(0, -1).entries()) {
      const part = (tensor: Tensor) => tensor.view([cuts[i + 1]! - begin], begin);
      const tensors = { parameter: part(parameter), gradient: part(gradient), m: part(m), v: part(v), clip };
      const from = { ...rounding, firstElement: rounding.firstElement + begin };
      adamw(tensors, { ...options, beta1: 0.9, beta2: 0.999, step, rounding: from });
    }
  }
  return {
    parameter: (await parameter.read()) as Float32Array,
    m: (await m.read()) as Uint16Array,
    v: (await v.read()) as Uint16Array,
  };
}

/** With betas of zero m is the gradient and v its square: what is stored of them is exactly what the definition says. */
export async function checkStoredBits(device: Device, size: number): Promise<void> {
  const given = Float32Array.from(randomNormal(size, 3), (value, i) => value * 2 ** ((i % 60) - 30));
  const gradient = fromArray(device, given, [size]);
  const [parameter, m, v] = [
    zeros(device, [size]),
    zeros(device, [size], 'bf16'),
    zeros(device, [size], 'bf16'),
  ];
  const clip = clipFactor(sumOfSquares(gradient), Number.POSITIVE_INFINITY);
  for (const step of [1, 70_000]) {
    adamw({ parameter, gradient, m, v, clip }, { ...options, beta1: 0, beta2: 0, step, rounding });
    const [first, second] = [await m.read(), await v.read()];
    for (const [i, value] of given.entries()) {
      const noise = noiseReference(rounding.firstElement + i, step, rounding.key);
      assert.is(first[i], roundedReference(value, noise.m), `m ${i}, step ${step}`);
      assert.is(second[i], roundedReference(Math.fround(value * value), noise.v), `v ${i}, step ${step}`);
    }
  }
}
