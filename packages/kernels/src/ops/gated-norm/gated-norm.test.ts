import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openCpuDevice } from '../../device.js';
import { empty, fromArray, type Tensor } from '../../tensor.js';
import { checkOp, checkRemade, randomNormal } from '../../testing/index.js';
import { gatedNorm } from './index.js';
import { gatedNormReference } from './reference.js';

for (const activation of ['silu', 'sigmoid'] as const) {
  for (const shape of [
    [1, 1],
    [63, 7],
    [2, 5, 3, 64],
    [1000, 33],
  ]) {
    const size = shape.reduce((product, dim) => product * dim, 1);
    // A large eps: with one column and none, the gradient is what is left of a perfect cancellation.
    test(`gated-norm by ${activation} [${shape}]`, async () => {
      await checkOp({
        name: `gated-norm by ${activation} [${shape}]`,
        inputs: {
          x: { values: randomNormal(size, 1), shape },
          weight: { values: randomNormal(shape.at(-1)!, 2), shape: shape.slice(-1) },
          gate: { values: randomNormal(size, 3, 4), shape },
        },
        op: (tensors) => [gatedNorm(tensors, activation, 0.5)],
        reference: (values) => gatedNormReference(values, activation, 0.5),
      });
    });
  }
}

test('gated-norm, where only the gate wants a gradient', async () => {
  const [x, weight] = [randomNormal(70 * 9, 1), randomNormal(9, 2)];
  await checkOp({
    name: 'gate only',
    inputs: { gate: { values: randomNormal(70 * 9, 3), shape: [70, 9] } },
    op: ({ gate }, device) => {
      const [rows, ones] = [
        fromArray(device, x, [70, 9], gate.dtype),
        fromArray(device, weight, [9], gate.dtype),
      ];
      return [gatedNorm({ x: rows, weight: ones, gate }, 'silu')];
    },
    reference: ({ gate }) => gatedNormReference({ x, weight, gate }, 'silu', 1e-6),
  });
});

test('a gate or a weight of another shape is refused', () => {
  const device = openCpuDevice();
  const [x, weight] = [empty(device, [2, 3, 4]), empty(device, [4])];
  assert.throws(() => gatedNorm({ x, weight: empty(device, [3]), gate: x }, 'silu'), /E-SHAPE.*gated-norm/s);
  assert.throws(() => gatedNorm({ x, weight, gate: empty(device, [2, 12]) }, 'silu'), /E-SHAPE.*gated-norm/s);
  device.close();
});

test('its backward pass writes the output once more, with the same bits', async () => {
  const device = openCpuDevice({ poison: true });
  const shapes = { x: [70, 33], weight: [33], gate: [70, 33] };
  for (const activation of ['silu', 'sigmoid'] as const) {
    for (const dtype of ['f32', 'f64'] as const) {
      const op = ({ x, weight, gate }: Readonly<Record<string, Tensor>>) =>
        gatedNorm({ x: x!, weight: weight!, gate: gate! }, activation);
      await checkRemade(device, { shapes, dtype, op });
    }
  }
  device.close();
});

test.run();
