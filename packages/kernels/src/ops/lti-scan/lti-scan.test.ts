import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { forwardCall } from '../../autograd/define-op.js';
import { openCpuDevice } from '../../device.js';
import { fromArray } from '../../tensor.js';
import { checkRecurrence, tolerances } from '../../testing/index.js';
import { ltiScan } from './index.js';
import { type Case, problem } from './problem.js';

const cases: readonly Case[] = [
  { B: 1, T: 1, C: 1, N: 1, decays: [-1, 0], turn: 1 },
  { B: 2, T: 63, C: 19, N: 5, decays: [-0.5, -0.01], turn: 1 },
  { B: 1, T: 1001, C: 17, N: 3, decays: [-1e-3, -1e-4], turn: 0.1 },
  { B: 1, T: 129, C: 50, N: 2, decays: [-20, -1e-4], turn: 1 },
  { B: 3, T: 200, C: 33, N: 1, decays: [-0.5, -0.001], turn: 1, starts: [0, 1, 2, 31, 64, 127, 128, 199] },
];

for (const signal of ['real', 'complex'] as const) {
  for (const [i, shape] of cases.entries()) {
    const check = problem(signal, shape, i);
    const maxElements = shape.T > 500 ? 6 : 12;
    test(check.name, () => checkRecurrence({ ...check, f32Tolerance: tolerances.f32Decay, maxElements }));
  }
}

test('lti-scan ~> a million tokens: f32 neither turns nor fades a slow mode by its own rounding', async () => {
  const device = openCpuDevice({ threads: 2, poison: true });
  try {
    const T = 2 ** 20;
    const [decay, angle] = [Math.fround(-1.1e-6), Math.fround(1.3e-5)];
    const first = new Float32Array(T);
    first[0] = 1;
    const parameters = fromArray(device, [decay, angle], [1, 1, 2]);
    const inputs = { u: fromArray(device, first, [1, T, 1]), logLambda: parameters, w: parameters };
    const summary = ltiScan('real').summarize(forwardCall(device), inputs, null, {});
    const expectNear = (found: ArrayLike<number>, steps: number, allowed: number) => {
      const radius = Math.exp(steps * decay);
      const [re, im] = [radius * Math.cos(steps * angle), radius * Math.sin(steps * angle)];
      assert.ok(Math.hypot(found[0]! - re, found[1]! - im) < allowed * radius, `${found[0]}, ${found[1]}`);
    };
    expectNear(await summary.factor!.read(), T, 2e-7);
    // The rounding of T additions, at random; a rounded λ would be off by up to 6e-8 T.
    expectNear(await summary.state.read(), T - 1, 1e-3);
  } finally {
    device.close();
  }
});

test.run();
