import type { Init } from '../layer.js';

/** Uniform in ±bound: how the field's convolutions start, with 1/√(taps). */
export function uniformWithin(bound: number): Init {
  return { each: (_index, uniform) => bound * (2 * uniform() - 1) };
}

/** The logarithm of a step size that is log-uniform between two values. */
export function logOfStep(smallest: number, largest: number): Init {
  return { each: (_index, uniform) => Math.log(smallest) + Math.log(largest / smallest) * uniform() };
}
