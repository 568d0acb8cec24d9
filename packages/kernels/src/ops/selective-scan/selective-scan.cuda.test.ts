import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { forwardCall } from '../../autograd/define-op.js';
import { runRecurrence } from '../../autograd/run-recurrence.js';
import { empty, fromArray } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { checkRecurrenceOnGpu, documentStarts, randomNormal, randomUniform } from '../../testing/index.js';
import { selectiveScan } from './index.js';

interface Case {
  readonly B: number;
  readonly T: number;
  readonly D: number;
  readonly N: number;
  /** Range of the step sizes; rates lie in [-4, -0.5]. */
  readonly steps: readonly [number, number];
  readonly starts?: readonly number[];
}

const cases: readonly Case[] = [
  { B: 1, T: 1, D: 2, N: 8, steps: [0.01, 0.1] },
  { B: 2, T: 63, D: 18, N: 8, steps: [0.01, 0.5] },
  { B: 1, T: 515, D: 34, N: 16, steps: [2e-4, 3e-4] },
  { B: 1, T: 129, D: 50, N: 16, steps: [1e-4, 5] },
  { B: 2, T: 200, D: 40, N: 16, steps: [0.001, 0.5], starts: [0, 1, 2, 31, 64, 127, 128, 199] },
  { B: 1, T: 900, D: 96, N: 16, steps: [0.001, 0.1], starts: [333] },
];

for (const [i, { B, T, D, N, steps, starts }] of cases.entries()) {
  const name = `B=${B} T=${T} D=${D} N=${N} steps ${steps}${starts ? ', packed' : ''}`;
  for (const dtype of ['f32', 'bf16'] as const) {
    testOnGpu(`selective-scan ~> ${name}, ${dtype}`, (device) =>
      checkRecurrenceOnGpu(
        device,
        {
          name,
          op: selectiveScan,
          inputs: {
            x: { role: 'token', values: randomNormal(B * T * D, 1 + i), shape: [B, T, D] },
            delta: { role: 'token', values: randomUniform(B * T * D, 2 + i, ...steps), shape: [B, T, D] },
            A: { role: 'shared', values: randomUniform(D * N, 3 + i, -4, -0.5), shape: [D, N] },
            B: { role: 'token', values: randomNormal(B * T * N, 4 + i), shape: [B, T, N] },
            C: { role: 'token', values: randomNormal(B * T * N, 5 + i), shape: [B, T, N] },
          },
          resets: documentStarts(B, T, starts),
        },
        { dtype, typed: ['x', 'delta', 'B', 'C'], decays: ['A', 'delta'] },
      ),
    );
  }
}

testOnGpu('selective-scan ~> a million tokens: f32 knows the sum of their steps', async (device) => {
  const T = 2 ** 20 + 7;
  const step = Math.fround(1.1e-6);
  const steps = fromArray(device, new Float32Array(2 * T).fill(step), [1, T, 2]);
  const A = fromArray(device, new Float32Array(16).fill(-1), [2, 8]);
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
