import { test } from 'uvu';
import { testOnGpu } from '../../testing/gpu.js';
import { checkRecurrenceOnGpu } from '../../testing/index.js';
import { type Case, problem } from './problem.js';

const cases: readonly Case[] = [
  { B: 1, T: 1, H: 1, N: 1, gates: [-1, 1] },
  { B: 2, T: 37, H: 3, N: 5, gates: [-2, 2] },
  { B: 1, T: 70, H: 1, N: 33, gates: [-20, 20] },
  { B: 1, T: 60, H: 2, N: 16, gates: [5, 8] },
  { B: 2, T: 50, H: 2, N: 7, gates: [-1, 1], starts: [0, 1, 2, 31, 47] },
  { B: 1, T: 150, H: 2, N: 128, gates: [-1, 3], starts: [71], lengths: [1, 64, 85] },
  { B: 1, T: 20, H: 1, N: 256, gates: [-1, 1] },
];

for (const [seed, shape] of cases.entries()) {
  const check = problem(shape, seed);
  for (const dtype of ['f32', 'bf16'] as const) {
    testOnGpu(`${check.name}, ${dtype}`, (device) =>
      checkRecurrenceOnGpu(device, check, { dtype, typed: ['gates'], decays: [] }),
    );
  }
}

test.run();
