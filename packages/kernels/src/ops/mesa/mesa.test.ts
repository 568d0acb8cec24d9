import { test } from 'uvu';
import { checkRecurrence, randomNormal, tolerances } from '../../testing/index.js';
import { type Case, problem } from './problem.js';

const cases: readonly Case[] = [
  { B: 1, T: 1, H: 1, K: 1, V: 1, g: [-1, 0] },
  { B: 2, T: 63, H: 3, K: 5, V: 19, g: [-0.5, 0] },
  { B: 1, T: 200, H: 1, K: 16, V: 7, g: [-1e-3, -1e-4] },
  { B: 1, T: 70, H: 1, K: 33, V: 8, g: [-20, -1e-4] },
  { B: 2, T: 80, H: 2, K: 6, V: 9, g: [-1, 0], starts: [0, 1, 2, 31, 64, 77] },
  { B: 1, T: 70, H: 1, K: 18, V: 5, g: [-1e-3, 0], starts: [35], lengths: [1, 3, 66] },
];

for (const [seed, shape] of cases.entries()) {
  const { B, T, H, K, V } = shape;
  const check = problem(shape, seed);
  const h0 = incomingState(B * H, K, V, 7 + seed);
  const maxElements = T > 100 ? 6 : 10;
  test(check.name, () => checkRecurrence({ ...check, h0, f32Tolerance: tolerances.f32Decay, maxElements }));
}

/** States as a run of tokens leaves them: Hkk is a sum of k kᵀ. */
function incomingState(numHeads: number, K: number, V: number, seed: number): Float64Array {
  const factors = randomNormal(numHeads * K * K, seed, K ** -0.5);
  const state = randomNormal(numHeads * (K + V) * K, seed + 1);
  for (let head = 0; head < numHeads; head++) {
    const key = (i: number, p: number) => factors[(head * K + i) * K + p]!;
    for (let i = 0; i < K; i++) {
      for (let x = 0; x < K; x++) {
        let sum = 0;
        for (let p = 0; p < K; p++) sum += key(i, p) * key(x, p);
        state[(head * (K + V) + i) * K + x] = sum;
      }
    }
  }
  return state;
}

test.run();
