import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { forwardCall } from '../../autograd/define-op.js';
import { runRecurrence } from '../../autograd/run-recurrence.js';
import { empty, fromArray } from '../../tensor.js';
import { refusedWithLittleMemory, testOnGpu } from '../../testing/gpu.js';
import { checkRecurrenceOnGpu } from '../../testing/index.js';
import { selectiveScan } from './index.js';
import { type Case, problem } from './problem.js';

const cases: readonly Case[] = [
  { B: 1, T: 1, D: 4, N: 8, steps: [0.01, 0.1] },
  { B: 2, T: 63, D: 20, N: 8, steps: [0.01, 0.5] },
  { B: 1, T: 515, D: 36, N: 16, steps: [2e-4, 3e-4] },
  { B: 1, T: 129, D: 52, N: 16, steps: [1e-4, 5] },
  { B: 2, T: 200, D: 40, N: 16, steps: [0.001, 0.5], starts: [0, 1, 2, 31, 64, 127, 128, 199] },
  { B: 1, T: 900, D: 96, N: 16, steps: [0.001, 0.1], starts: [333] },
];

/** Shared memory that the backward pass of 16 states takes. */
const wideBytes = 114_704;

for (const [i, shape] of cases.entries()) {
  const check = problem(shape, i);
  for (const dtype of ['f32', 'bf16'] as const) {
    testOnGpu(`${check.name}, ${dtype}`, (device) => {
      const run = () =>
        checkRecurrenceOnGpu(device, check, {
          dtype,
          typed: ['x', 'delta', 'B', 'C'],
          decays: ['A', 'delta'],
        });
      return refusedWithLittleMemory(device, shape.N === 8 ? 0 : wideBytes, run);
    });
  }
}

testOnGpu('selective-scan ~> a million tokens: f32 knows the sum of their steps', async (device) => {
  const T = 2 ** 20 + 7;
  const step = Math.fround(1.1e-6);
  const steps = fromArray(device, new Float32Array(4 * T).fill(step), [1, T, 4]);
  const A = fromArray(device, new Float32Array(32).fill(-1), [4, 8]);
  const B = fromArray(device, new Float32Array(8 * T).fill(step), [1, T, 8]);
  const { factor } = selectiveScan.summarize(
    forwardCall(device),
    { x: steps, delta: steps, A, B, C: B },
    null,
    {},
  );
  const [found] = await factor!.read();
  assert.ok(Math.abs(found! / (T * step) - 1) < 2e-7, `${found}, not ${T * step}`);
});

testOnGpu(
  'selective-scan ~> state sizes without a kernel are refused, with those that have one',
  async (device) => {
    const x = empty(device, [1, 8, 4], 'bf16');
    const B = empty(device, [1, 8, 5], 'bf16');
    const inputs = { x, delta: x, A: empty(device, [4, 5]), B, C: B };
    assert.throws(
      () => runRecurrence(selectiveScan, inputs, { resets: null, h0: null }),
      /E-CUDA-KERNEL.*N = 5.*N 8 or 16.*Fix/s,
    );
  },
);

test.run();
