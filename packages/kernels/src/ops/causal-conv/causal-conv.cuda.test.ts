import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../device.js';
import { empty, fromArray } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { checkOpOnGpu } from '../../testing/index.js';
import { activationReference } from '../pointwise/reference.js';
import { causalConv } from './index.js';
import { type Case, problem, type UnitCase } from './problem.js';
import { causalConvReference, unitConvReference } from './reference.js';

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

const unitCases: readonly UnitCase[] = [
  { B: 1, T: 1, D: 4, W: 1, size: 4 },
  { B: 2, T: 7, D: 12, W: 2, size: 4, starts: [3, 7, 8] },
  { B: 3, T: 70, D: 40, W: 4, size: 20, starts: [0, 1, 69, 71, 100, 101, 103, 209] },
  { B: 1, T: 130, D: 36, W: 4, size: 36 },
  { B: 1, T: 700, D: 256, W: 4, size: 128, starts: [255, 256, 511] },
  { B: 2, T: 150, D: 384, W: 4, size: 192 },
  { B: 1, T: 333, D: 1024, W: 4, size: 256, starts: [100] },
  { B: 2, T: 300, D: 64, W: 8, size: 64 },
  { B: 2, T: 3, D: 8, W: 6, size: 8, starts: [4] },
  // Not fused: single channels, more of them, more taps.
  { B: 2, T: 30, D: 15, W: 4, size: 5 },
  { B: 1, T: 40, D: 640, W: 4, size: 320 },
  { B: 1, T: 40, D: 16, W: 12, size: 8, starts: [9] },
];

for (const sizes of unitCases) {
  const { B, T, size } = sizes;
  const { label, flags, inputs, bias, halo } = problem(sizes);
  const unitHeads = { size, eps: 1e-3 };
  const name = `causal-conv ${label}, heads of ${size} of length one`;
  const op = (on: Device) => {
    const resets = flags && fromArray(on, flags, [B, T], 'i32');
    return { resets, activation: 'silu', unitHeads } as const;
  };
  const alone = { bias: null, halo: null };

  testOnGpu(name, (device) =>
    checkOpOnGpu(
      device,
      {
        name: 'plain',
        inputs,
        op: ({ x, weight }, on) => [causalConv({ x, weight, ...alone }, op(on))],
        reference: (values) => [unitConvReference(values, sizes, flags, unitHeads)],
      },
      [{ x: 'bf16', weight: 'f32' }],
    ),
  );

  if (sizes.W === 1) continue;
  testOnGpu(`${name}, bias and halo`, (device) =>
    checkOpOnGpu(
      device,
      {
        name: 'all',
        inputs: { ...inputs, bias, halo },
        op: (tensors, on) => [causalConv(tensors, op(on))],
        reference: (values) => [unitConvReference(values, sizes, flags, unitHeads)],
      },
      [{ x: 'bf16', weight: 'f32', bias: 'f32', halo: 'bf16' }],
    ),
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
