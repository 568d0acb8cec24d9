import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openCpuDevice } from '../../device.js';
import { empty, fromArray } from '../../tensor.js';
import { checkOp, randomNormal } from '../../testing/index.js';
import { layerNorm } from './index.js';
import { layerNormReference } from './reference.js';

const sizeOf = (shape: readonly number[]): number => shape.reduce((product, dim) => product * dim, 1);

// [shape of x, dims of the weight]. 130 positions: checkOp's seeds nearly cancel over 131, and with them the bias's gradient.
for (const [shape, numDims] of [
  [[1, 2], 1],
  [[63, 7], 1],
  [[2, 5, 64], 1],
  [[1000, 33], 1],
  [[3, 1000], 1],
  [[2, 67, 3, 17], 2],
  [[130, 4, 16], 2],
] as const) {
  const parameterShape = shape.slice(-numDims);
  const cols = shape.at(-1)!;
  // A large eps: with two columns and none, the gradient is what is left of a perfect cancellation.
  test(`layer-norm [${shape}], weight [${parameterShape}]`, async () => {
    const size = sizeOf(parameterShape);
    await checkOp({
      name: 'layer-norm',
      inputs: {
        x: { values: randomNormal(sizeOf(shape), 1).map((value) => value + 3), shape },
        weight: { values: randomNormal(size, 2), shape: parameterShape },
        bias: { values: randomNormal(size, 3), shape: parameterShape },
      },
      op: (inputs) => [layerNorm(inputs, 0.5)],
      reference: (values) => [layerNormReference(values, cols, 0.5)],
    });
  });
}

test('layer-norm without a bias, and where only some inputs want a gradient', async () => {
  const [x, weight] = [randomNormal(70 * 9, 1), randomNormal(9, 2)];
  await checkOp({
    name: 'no bias',
    inputs: { x: { values: x, shape: [70, 9] }, weight: { values: weight, shape: [9] } },
    op: (inputs) => [layerNorm({ ...inputs, bias: null })],
    reference: (values) => [layerNormReference(values, 9, 1e-5)],
  });
  await checkOp({
    name: 'bias only',
    inputs: { bias: { values: weight, shape: [9] } },
    op: ({ bias }, device) => {
      const [input, ones] = [
        fromArray(device, x, [70, 9], bias.dtype),
        fromArray(device, weight, [9], bias.dtype),
      ];
      return [layerNorm({ x: input, weight: ones, bias })];
    },
    reference: ({ bias }) => [layerNormReference({ x, weight, bias }, 9, 1e-5)],
  });
});

test('a weight of another shape is refused', () => {
  const device = openCpuDevice();
  const x = empty(device, [2, 3, 4]);
  assert.throws(() => layerNorm({ x, weight: empty(device, [3]), bias: null }), /E-SHAPE.*layer-norm/s);
  const weight = empty(device, [4]);
  assert.throws(() => layerNorm({ x, weight, bias: empty(device, [3]) }), /E-SHAPE.*layer-norm/s);
  device.close();
});

test.run();
