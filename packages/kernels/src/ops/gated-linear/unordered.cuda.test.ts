import { test } from 'uvu';
import { testOnGpu } from '../../testing/gpu.js';
import { checkBothWaysOnGpu } from '../../testing/index.js';
import { type Case, problem } from './problem.js';

const cases: readonly Case[] = [
  { B: 1, T: 1, H: 1, K: 8, V: 8, gates: [0, 0] },
  { B: 2, T: 150, H: 4, G: 2, K: 40, V: 72, gates: [0, 0] },
  { B: 1, T: 600, H: 3, G: 1, K: 24, V: 136, gates: [0, 0] },
  { B: 2, T: 63, H: 3, K: 17, V: 5, gates: [0, 0] },
];
for (const [i, shape] of cases.entries()) {
  const check = problem({ decay: 'identity' }, shape, i);
  testOnGpu(`${check.name}, both ways`, (device) => checkBothWaysOnGpu(device, check));
}

test.run();
