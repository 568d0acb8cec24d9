import { test } from 'uvu';
import { checkRecurrence, tolerances } from '../../testing/index.js';
import type { DeltaRuleOptions } from './index.js';
import { type Case, problem } from './problem.js';

const kinds: readonly DeltaRuleOptions[] = [
  {},
  { gate: 'scalar' },
  { gate: 'diagonal' },
  { gate: 'scalar', erase: 'own' },
  { gate: 'diagonal', erase: 'dplr', scale: 1 },
  { erase: 'dplr' },
  { gate: 'scalar', rowsPerToken: 3 },
  { gate: 'diagonal', rowsPerToken: 2 },
  { gate: 'diagonal', read: 'value' },
  { gate: 'scalar', read: 'value', rowsPerToken: 2 },
];

const cases: readonly Case[] = [
  // Three rows: with K = 1 one that erases nearly all (β near 1) would leave only rounding to compare.
  { B: 3, T: 1, H: 1, K: 1, V: 1, gates: [-1, 0] },
  { B: 2, T: 63, H: 2, K: 5, V: 19, gates: [-0.5, 0] },
  { B: 1, T: 150, H: 1, K: 16, V: 9, gates: [-1e-3, -1e-4] },
  { B: 1, T: 67, H: 1, K: 33, V: 8, gates: [-20, -1e-4] },
  { B: 2, T: 140, H: 1, K: 7, V: 16, gates: [-1, 0], starts: [0, 1, 2, 31, 64, 100, 127] },
];

for (const options of kinds) {
  for (const [i, shape] of cases.entries()) {
    const check = problem(options, shape, 10 * i);
    test(`delta-rule ~> ${check.name}`, () =>
      checkRecurrence({ ...check, f32Tolerance: tolerances.f32Decay, maxElements: 6 }));
  }
}

test.run();
