import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { forwardCall } from '../../autograd/define-op.js';
import { fromArray } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { checkRecurrenceOnGpu } from '../../testing/index.js';
import { vectorScan } from './index.js';
import { type Case, problem } from './problem.js';

const cases: readonly Case[] = [
  { B: 1, T: 1, C: 1, gates: [-1, 0] },
  { B: 3, T: 63, C: 19, gates: [-0.5, 0] },
  { B: 1, T: 1000, C: 33, gates: [-1e-3, -1e-4] },
  { B: 2, T: 129, C: 66, gates: [-20, -1e-4] },
  { B: 2, T: 150, C: 17, gates: [-1, 0], starts: [0, 1, 2, 31, 64, 100, 147] },
  { B: 1, T: 1700, C: 48, gates: [-0.1, 0], starts: [600, 1601] },
  { B: 1, T: 1100, C: 1024, gates: [-0.5, 0], starts: [511, 512, 900] },
];

/** Types of x and of its gates. */
const types = [
  { dtype: 'f32', typed: [] },
  { dtype: 'bf16', typed: ['x'] },
] as const;

for (const [i, shape] of cases.entries()) {
  const check = problem(shape, i);
  for (const { dtype, typed } of types) {
    testOnGpu(`${check.name}, ${dtype} for ${typed}`, (device) =>
      checkRecurrenceOnGpu(device, check, { dtype, typed, decays: ['g'] }),
    );
  }
}

testOnGpu('vector-scan ~> a million tokens: f32 knows their decay', async (device) => {
  const [T, C] = [2 ** 20, 3];
  const decays = Float32Array.of(-1e-6, -3.3e-6, 0);
  const values = Float32Array.from({ length: T * C }, (_, i) => decays[i % C]!);
  const g = fromArray(device, values, [1, T, C]);
  const { factor } = vectorScan.summarize(forwardCall(device), { x: g, g }, null, {});
  const found = await factor!.read();
  decays.forEach((decay, c) => {
    const expected = Math.exp(T * decay);
    assert.ok(Math.abs(found[c]! / expected - 1) < 2e-7, `${found[c]}, not ${expected}`);
  });
});

test.run();
