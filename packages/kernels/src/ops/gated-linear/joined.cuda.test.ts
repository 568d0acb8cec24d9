import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { empty } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { checkRecurrenceOnGpu } from '../../testing/index.js';
import { takesJoinedHeads } from './joined.js';
import { type Case, joinedProblem } from './problem.js';

// Up to 128 channels are differentiated in one sweep on Hopper, more of them in sweeps with and against time.
const cases: readonly Omit<Case, 'gates'>[] = [
  { B: 1, T: 1, H: 1, K: 64, V: 64 },
  { B: 2, T: 150, H: 3, K: 64, V: 64, starts: [0, 1, 2, 31, 64, 100, 147] },
  { B: 1, T: 900, H: 2, K: 128, V: 128, starts: [350] },
  { B: 1, T: 700, H: 2, K: 64, V: 128 },
  { B: 2, T: 1100, H: 1, K: 40, V: 80 },
  { B: 1, T: 300, H: 2, K: 256, V: 256, starts: [130, 192] },
  { B: 1, T: 300, H: 2, K: 128, V: 256 },
];

for (const [i, shape] of cases.entries()) {
  const check = joinedProblem(shape, i);
  testOnGpu(check.name, (device) =>
    checkRecurrenceOnGpu(device, check, { dtype: 'bf16', typed: ['qkv'], decays: [] }),
  );
}

testOnGpu('heads are taken joined in bf16 alone, in values that are whole keys', async (device) => {
  const takes = (dtype: 'bf16' | 'f32', K: number, V: number) =>
    takesJoinedHeads(empty(device, [1, 8], dtype), K, V);
  assert.equal([takes('bf16', 256, 256), takes('bf16', 64, 128)], [true, true]);
  assert.equal(
    [takes('bf16', 264, 264), takes('bf16', 36, 36), takes('bf16', 64, 96)],
    [false, false, false],
  );
  assert.is(takes('f32', 64, 64), false);
});

test.run();
