import { openCpuDevice } from '@longscan/kernels';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { randomTensor } from './random-tensor.js';

test('random tensors ~> normal numbers to the last element, in both types', async () => {
  const device = openCpuDevice({ poison: true });
  try {
    for (const [size, dtype] of [
      [1, 'f32'],
      [65_521, 'f32'],
      [200_000, 'f32'],
      [200_000, 'bf16'],
    ] as const) {
      const values = await randomTensor(device, [size], dtype, 3, (x) => 2 * x + 1).readNumbers();
      assert.ok(values.every(Number.isFinite));
      if (size === 1) continue;
      const mean = values.reduce((a, b) => a + b, 0) / size;
      const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / size;
      // Five standard errors of 65,521 numbers.
      assert.ok(Math.abs(mean - 1) < 0.04 && Math.abs(variance - 4) < 0.12, `${dtype}: ${mean}, ${variance}`);
    }
  } finally {
    device.close();
  }
});

test.run();
