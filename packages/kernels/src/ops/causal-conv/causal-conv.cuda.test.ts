import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { empty, fromArray } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { checkOpOnGpu } from '../../testing/index.js';
import { activationReference } from '../pointwise/reference.js';
import { causalConv } from './index.js';
import { type Case, problem } from './problem.js';
import { causalConvReference } from './reference.js';

const cases: readonly Case[] = [
  { B: 1, T: 1, D: 1, W: 1 },
  { B: 2, T: 7, D: 3, W: 2, starts: [3, 7, 8] },
  { B: 1, T: 130, D: 36, W: 4 },
  { B: 3, T: 70, D: 40, W: 4, starts: [0, 1, 69, 71, 100, 101, 103, 209] },
  { B: 2, T: 3, D: 5, W: 6, starts: [4] },
  { B: 1, T: 700, D: 128, W: 4, starts: [255, 256, 511] },
  { B: 2, T: 300, D: 64, W: 8 },
  { B: 2, T: 5, D: 3, W: 9 },
  { B: 2, T: 390, D: 40, W: 64, starts: [0, 64, 70, 390, 500] },
  { B: 1, T: 300, D: 33, W: 256 },
];

for (const sizes of cases) {
  const { B, T, W } = sizes;
  const { label, flags, inputs, bias, halo } = problem(sizes);

  testOnGpu(`causal-conv ${label}`, (device) =>
    checkOpOnGpu(device, {
      name: 'plain',
      inputs,
      op: ({ x, weight }, on) => {
        const resets = flags && fromArray(on, flags, [B, T], 'i32');
        return [causalConv({ x, weight, bias: null, halo: null }, { resets })];
      },
      reference: (values) => [causalConvReference(values, sizes, flags)],
    }),
  );

  if (W === 1) continue;
  testOnGpu(`causal-conv ${label}, bias, halo and silu`, (device) =>
    checkOpOnGpu(device, {
      name: 'all',
      inputs: { ...inputs, bias, halo },
      op: (tensors, on) => {
        const resets = flags && fromArray(on, flags, [B, T], 'i32');
        return [causalConv(tensors, { resets, activation: 'silu' })];
      },
      reference: (values) => [causalConvReference(values, sizes, flags).map(activationReference.silu)],
    }),
  );
}

testOnGpu('weights may be f32 beside data in bf16; 257 taps have no kernel', async (device) => {
  const x = empty(device, [1, 4, 8], 'bf16');
  const conv = (W: number) =>
    causalConv({ x, weight: empty(device, [8, W]), bias: null, halo: null }, { resets: null });
  assert.is(conv(4).dtype, 'bf16');
  assert.throws(() => conv(257), /E-CUDA-KERNEL.*257 taps.*1 to 256 taps.*Fix/s);
});

test.run();
