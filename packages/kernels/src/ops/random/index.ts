import type { Tensor } from '../../tensor.js';
import './native.js';

/** Two unsigned 32-bit words that name a sequence of random numbers. */
export type RandomKey = readonly [number, number];

/**
 * `target[i] = deviation · n_i`, in place, outside of autograd; n_i are normal numbers, a function of `key` and i alone:
 * the same on every rank and for every number of threads, and within rounding on every device.
 */
export function fillNormal(target: Tensor, deviation: number, key: RandomKey): void {
  target.device.native.fillNormal(target.device.compute.id, key[0], key[1], deviation, target.id);
}
