import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { empty } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { checkOpOnGpu, randomNormal } from '../../testing/index.js';
import { wide } from '../pointwise/index.js';
import { layerNorm } from './index.js';
import { layerNormReference } from './reference.js';

const sizeOf = (shape: readonly number[]): number => shape.reduce((product, dim) => product * dim, 1);

// [shape of x, dims of the weight]; groups that fill a block of threads, that do not, and more than it holds.
for (const [shape, numDims] of [
  [[1, 2], 1],
  [[63, 7], 1],
  [[1000, 33], 1],
  [[5, 1030], 1],
  [[5000, 128], 1],
  [[130, 2048], 1],
  [[8, 4096], 1],
  [[2, 67, 3, 17], 2],
  [[130, 4, 64], 2],
  [[3, 500, 12, 64], 2],
  [[70, 300, 8], 2],
  [[20, 3, 1536], 2],
] as const) {
  const parameterShape = shape.slice(-numDims);
  testOnGpu(`layer-norm [${shape}], weight [${parameterShape}]`, (device) => {
    const size = sizeOf(parameterShape);
    return checkOpOnGpu(device, {
      name: 'layer-norm',
      inputs: {
        x: { values: randomNormal(sizeOf(shape), 1).map((value) => value + 3), shape },
        weight: { values: randomNormal(size, 2), shape: parameterShape },
        bias: { values: randomNormal(size, 3), shape: parameterShape },
      },
      op: ({ x, weight, bias }) => [layerNorm({ x, weight: wide(weight), bias: wide(bias) }, 0.5)],
      reference: (values) => [layerNormReference(values, shape.at(-1)!, 0.5)],
    });
  });
}

testOnGpu('layer-norm without a bias; no kernel for rows that are too long', async (device) => {
  await checkOpOnGpu(device, {
    name: 'no bias',
    inputs: {
      x: { values: randomNormal(70 * 24, 1), shape: [70, 24] },
      weight: { values: randomNormal(24, 2), shape: [24] },
    },
    op: ({ x, weight }) => [layerNorm({ x, weight: wide(weight), bias: null })],
    reference: (values) => [layerNormReference(values, 24, 1e-5)],
  });
  const [x, weight] = [empty(device, [2, 4100]), empty(device, [4100])];
  assert.throws(() => layerNorm({ x, weight, bias: null }), /E-CUDA-KERNEL.*4100.*up to 4096.*Fix/s);
});

test.run();
