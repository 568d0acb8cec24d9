import type { ActivationName } from './index.js';

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/**
 * Φ(x): its Taylor series about 0, and in the tails, where that cancels, the continued fraction of Mills' ratio (Laplace).
 */
function normalCdf(x: number): number {
  const density = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
  if (Math.abs(x) < 2.5) {
    let term = x;
    let sum = x;
    for (let n = 1; n < 60; n++) {
      term *= (x * x) / (2 * n + 1);
      sum += term;
    }
    return 0.5 + density * sum;
  }
  let fraction = Math.abs(x);
  for (let n = 200; n > 0; n--) fraction = Math.abs(x) + n / fraction;
  return x > 0 ? 1 - density / fraction : density / fraction;
}

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
  softplus: (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
  log: Math.log,
  gelu: (x) => x * normalCdf(x),
  'gelu-tanh': (x) => x * sigmoid(2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)),
};
