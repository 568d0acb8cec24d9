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
