import { test } from 'uvu';
import { testOnGpu } from '../../testing/gpu.js';
import { checkRecurrenceOnGpu, randomNormal } from '../../testing/index.js';
import { type Case, problem } from './problem.js';

const cases: readonly Case[] = [
  { B: 1, T: 1, H: 1, K: 1, V: 1, g: [-1, 0] },
  { B: 2, T: 63, H: 3, K: 5, V: 19, g: [-0.5, 0] },
  { B: 1, T: 200, H: 1, K: 16, V: 7, g: [-1e-3, -1e-4] },
  { B: 1, T: 70, H: 1, K: 33, V: 8, g: [-20, -1e-4] },
  { B: 2, T: 80, H: 2, K: 6, V: 9, g: [-1, 0], starts: [0, 1, 2, 31, 64, 77] },
  { B: 1, T: 150, H: 1, K: 72, V: 66, g: [-0.1, 0], starts: [70], lengths: [1, 64, 85] },
];

for (const [seed, shape] of cases.entries()) {
  const { B, H, K, V } = shape;
  const check = { ...problem(shape, seed), h0: incomingState(B * H, K, V) };
  for (const dtype of ['f32', 'bf16'] as const) {
    testOnGpu(`${check.name}, ${dtype}`, (device) =>
      checkRecurrenceOnGpu(device, check, { dtype, typed: ['q', 'k', 'v'], decays: ['g'] }),
    );
  }
}

/** Hkk as many tokens of all directions leave it: near a multiple of 1. */
function incomingState(numHeads: number, K: number, V: number): Float64Array {
  return randomNormal(numHeads * (K + V) * K, 7).map((value, at) => {
    const [row, column] = [Math.floor(at / K) % (K + V), at % K];
    return row >= K ? value : row === column ? 1 : 0.5 / K;
  });
}

test.run();
