import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openCpuDevice } from '../../device.js';
import { fromArray } from '../../tensor.js';
import { checkOp, expectClose, randomNormal, tolerances } from '../../testing/index.js';
import { rotary } from './index.js';
import { rotaryReference } from './reference.js';

for (const { B, T, H, K, step } of [
  { B: 1, T: 1, H: 1, K: 2, step: 1 },
  { B: 2, T: 37, H: 3, K: 6, step: 1 },
  { B: 1, T: 130, H: 2, K: 64, step: 1 },
  { B: 2, T: 40, H: 1, K: 10, step: 16 },
]) {
  test(`rotary [${B}, ${T}, ${H}, ${K}], step ${step}`, async () => {
    const positions = Int32Array.from({ length: B * T }, (_, i) => (i * 7) % 61);
    const theta = 500;
    await checkOp({
      name: 'rotary',
      inputs: { x: { values: randomNormal(B * T * H * K, 1), shape: [B, T, H, K] } },
      op: ({ x }, device) => [rotary(x, fromArray(device, positions, [B, T], 'i32'), { theta, step })],
      reference: ({ x }) => [rotaryReference(x, positions, { H, K, theta, step })],
    });
  });
}

test('rotary ~> positions of millions are as exact as small ones', async () => {
  const [T, K] = [5, 128];
  const positions = [0, 1_048_575, 1_048_576, 16_777_217, 2_000_000_011];
  const x = randomNormal(T * K, 1);
  const device = openCpuDevice({ poison: true });
  const y = rotary(fromArray(device, x, [1, T, 1, K], 'f32'), fromArray(device, positions, [1, T], 'i32'));
  const found = await y.readNumbers();
  device.close();
  expectClose('y', found, rotaryReference(x, positions, { H: 1, K, theta: 10000, step: 1 }), tolerances.f32);
});

test('rotary ~> only the distance matters to a product', async () => {
  const K = 32;
  const row = randomNormal(K, 1);
  const other = randomNormal(K, 2);
  const device = openCpuDevice();
  const turned = (values: Float64Array, position: number) =>
    rotary(fromArray(device, values, [1, 1, 1, K], 'f64'), fromArray(device, [position], [1, 1], 'i32'));
  const product = async (a: number, b: number) => {
    const [q, k] = await Promise.all([turned(row, a).readNumbers(), turned(other, b).readNumbers()]);
    return q.reduce((sum, value, i) => sum + value * k[i]!, 0);
  };
  const [near, far] = [await product(9, 2), await product(1_000_007, 1_000_000)];
  device.close();
  assert.ok(Math.abs(near - far) < 1e-8, `${near} at 9 and 2, ${far} a million further`);
});

test('rotary ~> refuses an odd head size', () => {
  const device = openCpuDevice();
  const positions = fromArray(device, [0], [1, 1], 'i32');
  assert.throws(
    () => rotary(fromArray(device, [1, 2, 3], [1, 1, 1, 3]), positions),
    /expected an even last dim/,
  );
  device.close();
});

test.run();
