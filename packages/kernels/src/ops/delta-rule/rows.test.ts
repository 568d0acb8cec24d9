import { test } from 'uvu';
import { checkRecurrence } from '../../testing/index.js';
import { type DeltaRuleOptions, deltaRule } from './index.js';
import { type Case, problem } from './problem.js';
import { partsOfRows } from './rows.js';

// What a GPU makes of several rows a token, here by a CPU's kernels of one row a token.

const cases: readonly Case[] = [
  { B: 2, T: 1, H: 1, K: 8, V: 16, gates: [-1, 0] },
  { B: 2, T: 21, H: 2, K: 5, V: 19, gates: [-20, 0], starts: [0, 1, 7, 8, 19] },
  { B: 1, T: 70, H: 2, K: 32, V: 8, gates: [-0.5, 0] },
];

for (const options of [
  { rowsPerToken: 2 },
  { gate: 'scalar', rowsPerToken: 3 },
  { gate: 'diagonal', rowsPerToken: 2 },
  { gate: 'scalar', erase: 'dplr', rowsPerToken: 2 },
  { gate: 'scalar', read: 'value', rowsPerToken: 3 },
] satisfies DeltaRuleOptions[]) {
  test(`rows of a token as rows of the recurrence: ${JSON.stringify(options)}`, async () => {
    for (const [i, shape] of cases.entries()) {
      const check = problem(options, shape, 10 * i);
      const single = deltaRule({ ...options, rowsPerToken: 1 });
      await checkRecurrence({ ...check, op: { ...check.op, ...partsOfRows(options.rowsPerToken, single) } });
    }
  });
}

test.run();
