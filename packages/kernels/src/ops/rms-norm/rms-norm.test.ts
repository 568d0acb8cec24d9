import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openCpuDevice } from '../../device.js';
import { fromArray } from '../../tensor.js';
import { checkOp, randomNormal } from '../../testing/index.js';
import { l2Norm, rmsNorm } from './index.js';
import { l2NormReference, rmsNormReference } from './reference.js';

for (const shape of [
  [1, 1],
  [63, 7],
  [2, 5, 64],
  [1000, 33],
  [3, 1000],
]) {
  // A large eps: with one column and none, the gradient is what is left of a perfect cancellation.
  test(`rms-norm [${shape}]`, async () => {
    const size = shape.reduce((product, dim) => product * dim, 1);
    await checkOp({
      name: `rms-norm [${shape}]`,
      inputs: {
        x: { values: randomNormal(size, 1), shape },
        weight: { values: randomNormal(shape.at(-1)!, 2), shape: shape.slice(-1) },
      },
      op: ({ x, weight }) => [rmsNorm({ x, weight }, 0.5)],
      reference: (values) => rmsNormReference(values, 0.5),
    });
  });
}

test('rms-norm, only the weight or only the input wants a gradient', async () => {
  const x = randomNormal(70 * 9, 1);
  const weight = randomNormal(9, 2);
  await checkOp({
    name: 'weight only',
    inputs: { weight: { values: weight, shape: [9] } },
    op: ({ weight }, device) => [rmsNorm({ x: fromArray(device, x, [70, 9], weight.dtype), weight })],
    reference: ({ weight }) => rmsNormReference({ x, weight }, 1e-6),
  });
  await checkOp({
    name: 'input only',
    inputs: { x: { values: x, shape: [70, 9] } },
    op: ({ x }, device) => [rmsNorm({ x, weight: fromArray(device, weight, [9], x.dtype) })],
    reference: ({ x }) => rmsNormReference({ x, weight }, 1e-6),
  });
});

for (const [rows, cols] of [
  [1, 1],
  [63, 7],
  [130, 64],
] as const) {
  test(`l2-norm [${rows}, ${cols}]`, async () => {
    await checkOp({
      name: 'l2-norm',
      inputs: { x: { values: randomNormal(rows * cols, 1), shape: [rows, cols] } },
      op: ({ x }) => [l2Norm(x, 0.5)],
      reference: ({ x }) => [l2NormReference(x, cols, 0.5)],
    });
  });
}

test('l2-norm of a row of zeros is zero', async () => {
  const device = openCpuDevice({ poison: true });
  assert.equal([...(await l2Norm(fromArray(device, [0, 0, 3, 4], [2, 2])).read())].slice(0, 2), [0, 0]);
  device.close();
});

test.run();
