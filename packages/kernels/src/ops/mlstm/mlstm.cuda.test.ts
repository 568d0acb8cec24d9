import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { runRecurrence } from '../../autograd/run-recurrence.js';
import { empty } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { checkRecurrenceOnGpu } from '../../testing/index.js';
import { mlstm } from './index.js';
import { type Case, problem } from './problem.js';

const cases: readonly Case[] = [
  // Not K = 1: C q / (n q) would not depend on q, whose gradient is then rounding and nothing else.
  { B: 1, T: 1, H: 1, K: 2, V: 1, i: [-1, 1], f: [-1, 0], m: [0, 1] },
  { B: 2, T: 63, H: 3, K: 5, V: 19, i: [-2, 1], f: [-0.5, 0], m: [-1, 1] },
  { B: 1, T: 400, H: 2, K: 16, V: 72, i: [-3, 3], f: [-1e-3, -1e-4], m: [2, 4] },
  // Cut into segments, whose states are not made of fours.
  { B: 1, T: 600, H: 1, K: 6, V: 10, i: [-1, 1], f: [-0.1, -1e-4], m: [0, 1], starts: [350] },
  { B: 1, T: 129, H: 1, K: 33, V: 8, i: [-10, 10], f: [-20, -1e-4], m: [-10, 10] },
  {
    B: 2,
    T: 150,
    H: 2,
    K: 64,
    V: 32,
    i: [-1, 1],
    f: [-1, 0],
    m: [0, 1],
    starts: [0, 1, 2, 31, 64, 100, 147],
  },
  {
    B: 1,
    T: 200,
    H: 1,
    K: 40,
    V: 64,
    i: [-1, 5],
    f: [-1e-3, 0],
    m: [0, 1],
    starts: [35],
    lengths: [1, 64, 135],
  },
];

for (const [seed, shape] of cases.entries()) {
  const check = problem(shape, seed);
  for (const dtype of ['f32', 'bf16'] as const) {
    testOnGpu(`${check.name}, ${dtype}`, (device) =>
      checkRecurrenceOnGpu(device, check, { dtype, typed: ['q', 'k', 'v'], decays: ['q', 'i', 'f'] }),
    );
  }
}

testOnGpu('mlstm ~> head sizes without a kernel are refused, with those that have one', async (device) => {
  const [x, gate] = [empty(device, [1, 8, 1, 300], 'bf16'), empty(device, [1, 8, 1])];
  const call = () =>
    runRecurrence(mlstm(), { q: x, k: x, v: x, i: gate, f: gate }, { resets: null, h0: null });
  assert.throws(call, /E-CUDA-KERNEL.*K = 300.*up to 256.*Fix/);
});

test.run();
