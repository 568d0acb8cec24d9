import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { forwardCall } from '../../autograd/define-op.js';
import { openCpuDevice } from '../../device.js';
import { fromArray } from '../../tensor.js';
import { checkRecurrence, tolerances } from '../../testing/index.js';
import { selectiveScan } from './index.js';
import { type Case, problem } from './problem.js';

const cases: readonly Case[] = [
  { B: 1, T: 1, D: 1, N: 1, steps: [0.01, 0.1] },
  { B: 2, T: 63, D: 19, N: 5, steps: [0.01, 0.5] },
  { B: 1, T: 515, D: 17, N: 16, steps: [2e-4, 3e-4] },
  { B: 1, T: 129, D: 50, N: 3, steps: [1e-4, 5] },
  { B: 2, T: 200, D: 33, N: 4, steps: [0.001, 0.5], starts: [0, 1, 2, 31, 64, 127, 128, 199] },
];

for (const [i, shape] of cases.entries()) {
  const check = problem(shape, i);
  const maxElements = shape.T > 500 ? 6 : 12;
  test(check.name, () => checkRecurrence({ ...check, f32Tolerance: tolerances.f32Decay, maxElements }));
}

test('selective-scan ~> a million tokens: f32 knows the sum of their steps', async () => {
  const device = openCpuDevice({ threads: 2, poison: true });
  try {
    const T = 2 ** 20 + 7;
    const step = Math.fround(1.1e-6);
    const steps = fromArray(device, new Float32Array(T).fill(step), [1, T, 1]);
    const one = fromArray(device, [-1], [1, 1]);
    const inputs = { x: steps, delta: steps, A: one, B: steps, C: steps };
    const { factor } = selectiveScan.summarize(forwardCall(device), inputs, null, {});
    const [found] = await factor!.read();
    assert.ok(Math.abs(found! / (T * step) - 1) < 2e-7, `${found}, not ${T * step}`);
  } finally {
    device.close();
  }
});

test.run();
