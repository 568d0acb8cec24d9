import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { forwardCall } from '../../autograd/define-op.js';
import { openCpuDevice, openShapeDevice } from '../../device.js';
import { empty, fromArray } from '../../tensor.js';
import { checkRecurrence, tolerances } from '../../testing/index.js';
import { vectorScan } from './index.js';
import { type Case, problem } from './problem.js';

const cases: readonly Case[] = [
  { B: 1, T: 1, C: 1, gates: [-1, 0] },
  { B: 3, T: 63, C: 19, gates: [-0.5, 0] },
  { B: 1, T: 1000, C: 33, gates: [-1e-3, -1e-4] },
  { B: 2, T: 129, C: 65, gates: [-20, -1e-4] },
  { B: 2, T: 150, C: 17, gates: [-1, 0], starts: [0, 1, 2, 31, 64, 100, 147] },
];

for (const [i, shape] of cases.entries()) {
  const check = problem(shape, i);
  const maxElements = shape.T > 500 ? 6 : 12;
  test(check.name, () => checkRecurrence({ ...check, f32Tolerance: tolerances.f32Decay, maxElements }));
}

test('vector-scan ~> a million tokens: f32 knows their decay', async () => {
  const device = openCpuDevice({ threads: 2, poison: true });
  try {
    const [T, C] = [2 ** 20, 3];
    const decays = Float32Array.of(-1e-6, -3.3e-6, 0);
    const g = fromArray(
      device,
      Float32Array.from({ length: T * C }, (_, i) => decays[i % C]!),
      [1, T, C],
    );
    const { factor } = vectorScan.summarize(forwardCall(device), { x: g, g }, null, {});
    const found = await factor!.read();
    decays.forEach((decay, c) => {
      const expected = Math.exp(T * decay);
      assert.ok(Math.abs(found[c]! / expected - 1) < 2e-7, `${found[c]}, not ${expected}`);
    });
  } finally {
    device.close();
  }
});

test('vector-scan ~> decays of bf16 are refused', () => {
  const device = openShapeDevice();
  const [x, g] = [empty(device, [1, 8, 3], 'bf16'), empty(device, [1, 8, 3], 'bf16')];
  assert.throws(
    () => vectorScan.stateShape({ x, g }),
    /^error\[E-DTYPE\] vector-scan: g is bf16, expected f32/,
  );
  assert.equal(vectorScan.stateShape({ x, g: empty(device, [1, 8, 3], 'f32') }), [1, 3, 1, 1]);
});

test.run();
