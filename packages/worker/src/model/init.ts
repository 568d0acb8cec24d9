import { createHash } from 'node:crypto';
import { fill, fillNormal, hostArray, type Tensor } from '@longscan/kernels';
import type { Init, TensorOptions } from '../layer.js';

/** A trained tensor as a model declares it. */
export interface ParameterSpec extends TensorOptions {
  readonly name: string;
  readonly shape: readonly number[];
  readonly init: Init;
  /** Ops see it in the model's precision, as the matrices of products are; left out: its own values. */
  readonly isRounded?: boolean;
  /** Index of the block that reads it first, as many as there are: what comes after them; left out: what comes before. */
  readonly block?: number;
  /** Ops see a part of it as a parameter by itself, too. */
  readonly isSharedInParts?: boolean;
}

/**
 * Sets one parameter to its initial values: a function of the job's seed and the parameter's name alone. Normal numbers
 * are made on the device: a model has billions of them.
 */
export function initialise(tensor: Tensor, { name, init }: ParameterSpec, seed: number): void {
  if ('constant' in init) {
    fill(tensor, init.constant);
  } else if ('normal' in init) {
    const [low, high] = seedWords(seed, name);
    fillNormal(tensor, init.normal, [low, high]);
  } else {
    const next = generator(seedWords(seed, name));
    const values = hostArray(tensor.dtype, tensor.size);
    tensor.write(values.map((_, i) => init.each(i, next)));
  }
}

/** Four words that are different for every seed of a job and name of what they are for. */
export function seedWords(seed: number, name: string): [number, number, number, number] {
  const digest = createHash('sha256').update(`${seed}/${name}`).digest();
  return [0, 4, 8, 12].map((at) => digest.readUInt32LE(at)) as [number, number, number, number];
}

/** xoshiro128** (Blackman and Vigna), as uniform numbers in [0, 1). */
function generator([a, b, c, d]: [number, number, number, number]): () => number {
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
