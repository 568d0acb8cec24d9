import { test } from 'uvu';
import { testOnGpu } from '../../testing/gpu.js';
import { checkRecurrenceOnGpu } from '../../testing/index.js';
import { type Case, problem } from './problem.js';

const cases: readonly Case[] = [
  { B: 1, T: 1, C: 1, N: 1, decays: [-1, 0], turn: 1 },
  { B: 2, T: 63, C: 19, N: 5, decays: [-0.5, -0.01], turn: 1 },
  { B: 1, T: 1001, C: 17, N: 3, decays: [-1e-3, -1e-4], turn: 0.1 },
  { B: 1, T: 129, C: 50, N: 2, decays: [-20, -1e-4], turn: 1 },
  { B: 3, T: 200, C: 33, N: 1, decays: [-0.5, -0.001], turn: 1, starts: [0, 1, 2, 31, 64, 127, 128, 199] },
  { B: 1, T: 900, C: 40, N: 32, decays: [-0.5, -0.001], turn: 1, starts: [400] },
  { B: 1, T: 70, C: 3, N: 200, decays: [-0.5, -0.01], turn: 1 },
];

for (const signal of ['real', 'complex'] as const) {
  for (const [i, shape] of cases.entries()) {
    const check = problem(signal, shape, i);
    for (const dtype of ['f32', 'bf16'] as const) {
      testOnGpu(`${check.name}, ${dtype}`, (device) =>
        checkRecurrenceOnGpu(device, check, { dtype, typed: ['u'], decays: ['logLambda'] }),
      );
    }
  }
}

test.run();
