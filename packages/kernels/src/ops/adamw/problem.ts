import { randomNormal } from '../../testing/index.js';
import { clipReference } from '../grad-norm/reference.js';
import { adamwReference } from './reference.js';

// What the tests of this op, on CPU and GPU, are made of.

export const options = { learningRate: 0.01, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.1 };
export const numSteps = 5;

export const firstParameter = (size: number) => randomNormal(size, 1);
export const gradientOf = (size: number, step: number) => randomNormal(size, 10 + step);

/** Parameter, m and v after `numSteps` steps. */
export function trainReference(size: number, maxNorm: number): Float64Array[] {
  const state = { parameter: firstParameter(size), m: new Float64Array(size), v: new Float64Array(size) };
  for (let step = 1; step <= numSteps; step++) {
    const gradient = gradientOf(size, step);
    const { factor } = clipReference(gradient, maxNorm);
    const clipped = gradient.map((g) => g * factor);
    adamwReference(state, clipped, { ...options, step });
  }
  return [state.parameter, state.m, state.v];
}
