import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { empty } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { checkRecurrenceOnGpu, randomNormal } from '../../testing/index.js';
import { joinedGatedLinear, takesJoinedHeads } from './joined.js';

// With time and against it in one sweep (up to 128 channels on Hopper), and in sweeps of their own.
const cases = [
  { B: 1, T: 1, H: 1, K: 64 },
  { B: 2, T: 150, H: 3, K: 64, starts: [0, 1, 2, 31, 64, 100, 147] },
  { B: 1, T: 900, H: 2, K: 128, starts: [350] },
  { B: 2, T: 1100, H: 1, K: 40 },
  { B: 1, T: 300, H: 2, K: 256, starts: [130, 192] },
] as const;

for (const [i, sizes] of cases.entries()) {
  const { B, T, H, K } = sizes;
  const starts: readonly number[] | null = 'starts' in sizes ? sizes.starts : null;
  const name = `${joinedGatedLinear.name} B=${B} T=${T} H=${H} K=${K}${starts ? ', packed' : ''}`;
  testOnGpu(name, (device) =>
    checkRecurrenceOnGpu(
      device,
      {
        name,
        op: joinedGatedLinear,
        inputs: {
          qkv: { values: randomNormal(B * T * 3 * H * K, i), shape: [B, T, 3, H, K], role: 'token' },
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

testOnGpu('heads are taken joined in bf16 alone, up to 256 channels', async (device) => {
  const takes = (dtype: 'bf16' | 'f32', size: number) => takesJoinedHeads(empty(device, [1, 8], dtype), size);
  assert.equal(
    [takes('bf16', 256), takes('bf16', 264), takes('bf16', 36), takes('f32', 64)],
    [true, false, false, false],
  );
});

test.run();
