import type { ActivationName } from './index.js';

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** The definitions, each a function of one number. */
export const activationReference: Readonly<Record<ActivationName, (x: number) => number>> = {
  identity: (x) => x,
  sigmoid,
  'log-sigmoid': (x) => Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x))),
  silu: (x) => x * sigmoid(x),
  'elu+1': (x) => (x > 0 ? x + 1 : Math.exp(x)),
  relu: (x) => Math.max(x, 0),
  exp: Math.exp,
  tanh: Math.tanh,
  square: (x) => x * x,
};
