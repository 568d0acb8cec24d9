import { createHash } from 'node:crypto';
import { type DType, type HostArray, hostArray } from '@longscan/kernels';
import type { Init, TensorOptions } from '../layer.js';

/** A trained tensor as a model declares it. */
export interface ParameterSpec extends TensorOptions {
  readonly name: string;
  readonly shape: readonly number[];
  readonly init: Init;
  /** Ops see it in the model's precision, as the matrices of products are; left out: its own values. */
  readonly isRounded?: boolean;
}

/** Initial values of one parameter: a function of the job's seed and the parameter's name alone. */
export function initialValues({ name, shape, init }: ParameterSpec, seed: number, dtype: DType): HostArray {
  const size = shape.reduce((a, b) => a * b, 1);
  const values = hostArray(dtype, size);
  if ('constant' in init) return values.fill(init.constant);
  const next = generator(seed, name);
  for (let i = 0; i < size; i++) {
    values[i] = 'each' in init ? init.each(i, next) : init.normal * normal(next);
  }
  return values;
}

/** Box-Muller; `1 - u` keeps the logarithm finite. */
function normal(next: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
}

/** xoshiro128** (Blackman and Vigna), seeded by a hash, as uniform numbers in [0, 1). */
function generator(seed: number, name: string): () => number {
  const digest = createHash('sha256').update(`${seed}/${name}`).digest();
  let [a, b, c, d] = [0, 4, 8, 12].map((at) => digest.readUInt32LE(at)) as [number, number, number, number];
  const rotate = (x: number, by: number) => (x << by) | (x >>> (32 - by));
  return () => {
    const result = Math.imul(rotate(Math.imul(b, 5), 7), 9) >>> 0;
    const t = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = rotate(d, 11);
    return result / 2 ** 32;
  };
}
