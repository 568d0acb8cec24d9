import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../device.js';
import { fromArray, type Tensor } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { randomNormal } from '../../testing/index.js';
import { clipFactor, readClip, sumOfParts, sumOfSquares } from './index.js';
import { clipReference } from './reference.js';

/** `offset`: where the gradient begins in a longer buffer. */
const clipOf = (device: Device, values: Float32Array, maxNorm: number, offset = 0) => {
  const padded = new Float32Array(values.length + offset).fill(Number.NaN);
  padded.set(values, offset);
  const gradient = fromArray(device, padded, [padded.length]).view([values.length], offset);
  return readClip(clipFactor(sumOfSquares(gradient), maxNorm));
};

for (const size of [0, 1, 63, 65_537, 400_003, 1_000_003]) {
  for (const offset of [0, 1, 4]) {
    testOnGpu(`norm of ${size} elements from ${offset} on`, async (device) => {
      const values = Float32Array.from(randomNormal(size, 1));
      const expected = clipReference(values, 10);
      const clip = await clipOf(device, values, 10, offset);
      assert.ok(clip.isFinite);
      assert.ok(
        Math.abs(clip.norm - expected.norm) <= 1e-13 * expected.norm,
        `${clip.norm} ${expected.norm}`,
      );
      assert.ok(Math.abs(clip.factor - expected.factor) <= 1e-13);
      assert.equal(await clipOf(device, values, 10, offset), clip, 'the same bits twice');
    });
  }
}

testOnGpu('gradients in several buffers have one norm', async (device) => {
  const values = Float32Array.from(randomNormal(300_000, 1));
  const whole = fromArray(device, values, [300_000]);
  const parts = [0, 100_000, 200_001].map((begin, i) => whole.view([[100_000, 100_001, 99_999][i]!], begin));
  const clip = await readClip(clipFactor(sumOfSquares(parts[0]!, parts[1]!, parts[2]!), 10));
  const expected = clipReference(values, 10);
  assert.ok(Math.abs(clip.norm / expected.norm - 1) <= 1e-13, `${clip.norm} ${expected.norm}`);
});

testOnGpu('a NaN or infinite gradient is told, and holds for the steps after it', async (device) => {
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
    const values = Float32Array.from(randomNormal(70_000, 1));
    const clip = async (previous: Tensor | null) =>
      clipFactor(sumOfSquares(fromArray(device, values, [70_000])), 1, previous);
    const before = await clip(null);
    values[69_999] = bad;
    const wrong = await clip(before);
    values[69_999] = 0;
    const after = await clip(wrong);
    const found = await Promise.all([before, wrong, after].map((clip) => readClip(clip)));
    assert.equal(
      found.map((clip) => clip.isFinite),
      [true, false, false],
    );
    assert.is(found[2]!.factor, 0);
  }
});

testOnGpu('gradients whose squares overflow f32 have a norm; no clipping below the limit', async (device) => {
  const large = await clipOf(device, Float32Array.of(3e30, 4e30), 1);
  assert.ok(large.isFinite && Math.abs(large.norm / 5e30 - 1) < 1e-6);
  assert.is((await clipOf(device, Float32Array.of(3, 4), 6)).factor, 1);
  assert.is((await clipOf(device, Float32Array.of(3, 4), Number.POSITIVE_INFINITY)).factor, 1);
});

for (const size of [0, 1, 8192, 100_003]) {
  testOnGpu(`sum of ${size} parts`, async (device) => {
    const values = randomNormal(size, 1);
    const parts = fromArray(device, values, [size], 'f64');
    const [found] = await sumOfParts(parts).readNumbers();
    const expected = values.reduce((sum, value) => sum + value, 0);
    assert.ok(Math.abs(found! - expected) <= 1e-12 * size, `${found}, expected ${expected}`);
    assert.equal([...(await sumOfParts(parts).readNumbers())], [found], 'the same bits twice');
  });
}

test.run();
