import { test } from 'uvu';
import { testOnGpu } from '../../testing/gpu.js';
import { checkRecurrenceOnGpu } from '../../testing/index.js';
import type { DeltaRuleOptions } from './index.js';
import { type Case, problem } from './problem.js';

const kinds: readonly DeltaRuleOptions[] = [{}, { gate: 'scalar' }, { gate: 'diagonal' }];

const cases: readonly Case[] = [
  { B: 2, T: 1, H: 1, K: 64, V: 64, gates: [-1, 0] },
  { B: 2, T: 63, H: 2, K: 32, V: 64, gates: [-0.5, 0] },
  { B: 1, T: 300, H: 1, K: 128, V: 128, gates: [-1e-3, -1e-4] },
  { B: 1, T: 129, H: 2, K: 64, V: 128, gates: [-20, -1e-4] },
  { B: 2, T: 150, H: 1, K: 128, V: 64, gates: [-1, 0], starts: [0, 1, 2, 31, 64, 100, 147] },
];

const types = { dtype: 'bf16', typed: ['q', 'k', 'v'], decays: ['g'], whole: true } as const;

for (const options of kinds) {
  for (const [i, shape] of cases.entries()) {
    const check = problem(options, shape, 10 * i);
    testOnGpu(`${check.name}, bf16`, (device) => checkRecurrenceOnGpu(device, check, types));
  }
}

test.run();
