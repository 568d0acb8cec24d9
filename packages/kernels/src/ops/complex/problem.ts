import { randomUniform } from '../../testing/index.js';

// What the tests of this op, on CPU and GPU, are made of.

/** z of a slow mode, of one at the edge of the series, and of one that turns a whole circle per token. */
export const magnitudes = [1e-3, 0.5, 2, 8];

/** z with real parts below zero. */
export function numbersOf(magnitude: number) {
  const size = 61;
  const re = randomUniform(size, 1, -magnitude, -magnitude / 10);
  const im = randomUniform(size, 2, -magnitude, magnitude);
  const values = Float64Array.from({ length: 2 * size }, (_, i) => (i % 2 === 0 ? re : im)[i >> 1]!);
  return { values, shape: [size, 2] };
}
