import type { RandomKey } from '../random/index.js';
import { philoxReference } from '../random/reference.js';
import type { AdamwOptions } from './index.js';

/** What a step changes. */
export interface AdamwState {
  readonly parameter: Float64Array;
  readonly m: Float64Array;
  readonly v: Float64Array;
}

/** The definition (Loshchilov and Hutter, algorithm 2), in place; `gradient` is already clipped. */
export function adamwReference(state: AdamwState, gradient: Float64Array, options: AdamwOptions): void {
  const { learningRate, beta1, beta2, eps, weightDecay, step } = options;
  const { parameter, m, v } = state;
  gradient.forEach((g, i) => {
    m[i] = beta1 * m[i]! + (1 - beta1) * g;
    v[i] = beta2 * v[i]! + (1 - beta2) * g * g;
    const mean = m[i]! / (1 - beta1 ** step);
    const meanSquare = v[i]! / (1 - beta2 ** step);
    const p = parameter[i]!;
    parameter[i] = p - learningRate * (mean / (Math.sqrt(meanSquare) + eps) + weightDecay * p);
  });
}

/** Sixteen random bits for each moment of an element of a model. */
export function noiseReference(element: number, step: number, key: RandomKey): { m: number; v: number } {
  const block = Math.floor(element / 4);
  const words = philoxReference([block % 2 ** 32, Math.floor(block / 2 ** 32), step, 0], key);
  const word = words[element % 4]!;
  return { m: word % 2 ** 16, v: Math.floor(word / 2 ** 16) };
}

/** The pattern of the bf16 number that a finite f32 number is rounded to. */
export function roundedReference(value: number, noise: number): number {
  const [bits] = new Uint32Array(Float32Array.of(value).buffer);
  return Math.floor((bits! + noise) / 2 ** 16);
}
