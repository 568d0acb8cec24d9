import { test } from 'uvu';
import { fromArray } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { checkOpOnGpu, expectClose, randomNormal, tolerances } from '../../testing/index.js';
import { rotary } from './index.js';
import { rotaryReference } from './reference.js';

for (const { B, T, H, K, step } of [
  { B: 1, T: 1, H: 1, K: 2, step: 1 },
  { B: 2, T: 37, H: 3, K: 6, step: 1 },
  { B: 1, T: 130, H: 2, K: 64, step: 1 },
  { B: 2, T: 40, H: 17, K: 16, step: 16 },
  { B: 1, T: 300, H: 33, K: 144, step: 1 },
]) {
  testOnGpu(`rotary [${B}, ${T}, ${H}, ${K}], step ${step}`, (device) => {
    const positions = Int32Array.from({ length: B * T }, (_, i) => (i * 7) % 61);
    const theta = 500;
    return checkOpOnGpu(device, {
      name: 'rotary',
      inputs: { x: { values: randomNormal(B * T * H * K, 1), shape: [B, T, H, K] } },
      op: ({ x }, on) => [rotary(x, fromArray(on, positions, [B, T], 'i32'), { theta, step })],
      reference: ({ x }) => [rotaryReference(x, positions, { H, K, theta, step })],
    });
  });
}

testOnGpu('rotary ~> positions of millions are as exact as small ones', async (device) => {
  const [T, K] = [5, 128];
  const positions = [0, 1_048_575, 1_048_576, 16_777_217, 2_000_000_011];
  const x = randomNormal(T * K, 1);
  const y = rotary(fromArray(device, x, [1, T, 1, K]), fromArray(device, positions, [1, T], 'i32'));
  const expected = rotaryReference(x, positions, { H: 1, K, theta: 10000, step: 1 });
  expectClose('y', await y.readNumbers(), expected, tolerances.f32);
});

test.run();
