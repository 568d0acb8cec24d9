import { test } from 'uvu';
import * as assert from 'uvu/assert';

import { empty } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { checkRecurrenceOnGpu, randomNormal } from '../../testing/index.js';

import { joinedGatedLinear, takesJoinedHeads } from './joined.js';

// With time and against it in one sweep (up to 128 channels on Hopper), and in sweeps of their own.
const cases = [
  { B: 1, T: 1, H: 1, K: 64, V: 64 },
  { B: 2, T: 150, H: 3, K: 64, V: 64, starts: [0, 1, 2, 31, 64, 100, 147] },
  { B: 1, T: 900, H: 2, K: 128, V: 128, starts: [350] },
  { B: 1, T: 700, H: 2, K: 64, V: 128 },
  { B: 2, T: 1100, H: 1, K: 40, V: 80 },
  { B: 1, T: 300, H: 2, K: 256, V: 256, starts: [130, 192] },
] as const;

for (const [i, sizes] of cases.entries()) {
  const { B, T, H, K, V } = sizes;
  const parts = 2 + V / K;
  const starts: readonly number[] | null = 'starts' in sizes ? sizes.starts : null;
  const name = `${joinedGatedLinear.name} B=${B} T=${T} H=${H} K=${K} V=${V}${starts ? ', packed' : ''}`;
  testOnGpu(name, (device) =>
    checkRecurrenceOnGpu(
      device,
      {
        name,
        op: joinedGatedLinear,
        inputs: {
          qkv: { values: randomNormal(B * T * parts * H * K, i), shape: [B, T, parts, H, K], role: 'token' },
        },
        resets: starts && resetsOf(B, T, starts),
      },
      { dtype: 'bf16', typed: ['qkv'], decays: [] },
    ),
  );
}

function resetsOf(B: number, T: number, starts: readonly number[]): Int32Array {
  const resets = new Int32Array(B * T);
  for (let b = 0; b < B; b++) for (const t of starts) resets[b * T + Math.min(t + b, T - 1)] = 1;
  return resets;
}

testOnGpu(
  'heads are taken joined in bf16 alone, with up to 256 values that are whole keys',
  async (device) => {
    const takes = (dtype: 'bf16' | 'f32', K: number, V: number) =>
      takesJoinedHeads(empty(device, [1, 8], dtype), K, V);
    assert.equal([takes('bf16', 256, 256), takes('bf16', 64, 128)], [true, true]);
    assert.equal(
      [takes('bf16', 264, 264), takes('bf16', 36, 36), takes('bf16', 64, 96)],
      [false, false, false],
    );
    assert.is(takes('f32', 64, 64), false);
  },
);

test.run();
