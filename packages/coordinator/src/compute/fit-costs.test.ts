import type { OpEntry, Schedule } from '@longscan/worker';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { OpCost } from './compute-costs.js';
import { fitCosts, type ProfiledStep } from './fit-costs.js';
import { nonNegativeFit } from './non-negative-fit.js';
import { computeSeconds, opSeconds } from './op-seconds.js';

const costs: Record<string, OpCost> = {
  product: { launchS: 2e-6, secondsPerByte: 0, secondsPerFlop: 3e-12 },
  sum: { launchS: 1e-6, secondsPerByte: 5e-11, secondsPerFlop: 0 },
};
const other: OpCost = { launchS: 1e-5, secondsPerByte: 1e-10, secondsPerFlop: 1e-11 };

const op = (name: string, bytes: number, flops: number, stream = 0): OpEntry => ({
  ...{ kind: 'op', stream, name, bytes, flops },
});

/** A step of this many tokens and channels whose ops take what `costs` says. */
function step(T: number, D: number, names = { product: 'product', sum: 'sum' }): ProfiledStep {
  const entries = [
    op('product', 8 * T * D + 4 * D * D, 2 * T * D * D),
    op('product', 4 * T * D + 8 * D * D, 4 * T * D * D),
    op('sum', 12 * T * D, T * D),
    // On another stream: it takes the compute stream no time.
    op('sum', 1e9, 1e9, 1),
  ];
  const schedule: Schedule = { streams: ['compute', 'sp'], entries };
  const ofCompute = entries.filter(({ stream }) => stream === 0);
  const timesOf = (name: 'product' | 'sum') => {
    const calls = ofCompute.filter((entry) => entry.name === name);
    const seconds = calls.reduce((sum, call) => sum + opSeconds({ ops: costs, other }, call), 0);
    return { name: names[name], count: calls.length, ms: 1000 * seconds };
  };
  return { schedule, ops: [timesOf('product'), timesOf('sum'), { name: 'streamWait', count: 9, ms: 7 }] };
}

const near = (found: number, expected: number) =>
  assert.ok(Math.abs(found - expected) <= 1e-6 * Math.abs(expected), `${found} is not ${expected}`);

test('fit ~> finds the costs that steps were made of, and what a step of another shape takes', () => {
  const fitted = fitCosts([step(64, 32), step(512, 32), step(4096, 32), step(512, 256)]);
  assert.equal(Object.keys(fitted.ops), ['product', 'sum']);
  for (const [name, cost] of Object.entries(costs)) {
    for (const key of ['launchS', 'secondsPerByte', 'secondsPerFlop'] as const) {
      const found = fitted.ops[name]![key];
      if (cost[key] === 0) assert.ok(found >= 0 && found < 1e-15, `${name} ${key}: ${found}`);
      else near(found, cost[key]);
    }
  }
  const { schedule, ops } = step(9000, 96);
  near(computeSeconds(fitted, schedule), (ops[0]!.ms + ops[1]!.ms) / 1000);
});

test('fit ~> what a device calls by other names is fitted as a whole', () => {
  const renamed = { product: 'product', sum: 'deviceSum' };
  const fitted = fitCosts([step(64, 32, renamed), step(512, 32, renamed), step(4096, 64, renamed)]);
  assert.equal(Object.keys(fitted.ops).sort(), ['product', 'sum']);
  const { schedule, ops } = step(1024, 64);
  near(computeSeconds(fitted, schedule), (ops[0]!.ms + ops[1]!.ms) / 1000);
});

test('fit ~> no negative cost, the best of those that are none', () => {
  // The free solution is (-1, 2).
  const rows = [
    [1, 1],
    [2, 3],
    [3, 5],
  ];
  const b = [1, 4, 7];
  const [x, y] = nonNegativeFit(rows, b) as [number, number];
  assert.is(x, 0);
  near(y, 48 / 35);
  assert.equal(
    nonNegativeFit(
      [
        [1, 1],
        [1, 1],
      ],
      [-1, -2],
    ),
    [0, 0],
  );
  // Columns that depend on each other: one of them is enough.
  const [p, q] = nonNegativeFit(
    [
      [1, 2],
      [2, 4],
    ],
    [3, 6],
  ) as [number, number];
  near(p + 2 * q, 3);
  assert.equal(nonNegativeFit([], []), []);
});

test.run();
