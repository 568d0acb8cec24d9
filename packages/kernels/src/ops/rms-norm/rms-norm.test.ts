import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openCpuDevice } from '../../device.js';
import { fromArray, type Tensor } from '../../tensor.js';
import { checkOp, checkRemade, randomNormal } from '../../testing/index.js';
import { l2Norm, residualNorm, rmsNorm } from './index.js';
import { l2NormReference, residualNormReference, rmsNormReference } from './reference.js';

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
  const given = (seed: number) => ({ values: randomNormal(rows * cols, seed), shape: [rows, cols] });
  const weight = { values: randomNormal(cols, 3), shape: [cols] };

  test(`residual-norm [${rows}, ${cols}]`, async () => {
    await checkOp({
      name: 'residual-norm',
      inputs: { x: given(1), branch: given(2), weight },
      op: (tensors) => {
        const { stream, normed } = residualNorm(tensors, 0.5);
        return [stream, normed];
      },
      reference: (values) => residualNormReference(values, 0.5),
    });
  });

  test(`residual-norm [${rows}, ${cols}] without a branch, and of what only one output is read`, async () => {
    await checkOp({
      name: 'no branch',
      inputs: { x: given(1), weight },
      op: (tensors) => {
        const { stream, normed } = residualNorm({ ...tensors, branch: null }, 0.5);
        return [stream, normed];
      },
      reference: (values) => residualNormReference(values, 0.5),
    });
    await checkOp({
      name: 'normed only',
      inputs: { x: given(1), branch: given(2), weight },
      op: (tensors) => [residualNorm(tensors, 0.5).normed],
      reference: (values) => residualNormReference(values, 0.5).slice(1),
    });
    await checkOp({
      name: 'stream only',
      inputs: { x: given(1), branch: given(2) },
      op: (tensors, device) => {
        const ones = fromArray(device, new Float64Array(cols).fill(1), [cols], tensors.x.dtype);
        return [residualNorm({ ...tensors, weight: ones }, 0.5).stream];
      },
      reference: ({ x, branch }) => [x.map((value, i) => value + branch[i]!)],
    });
  });
}

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

test('norms ~> their backward pass writes the output once more, with the same bits', async () => {
  const device = openCpuDevice({ poison: true });
  const [x, weight] = [[70, 33], [33]];
  type Tensors = Readonly<Record<string, Tensor>>;
  const ops = {
    rms: { shapes: { x, weight }, op: (t: Tensors) => rmsNorm({ x: t.x!, weight: t.weight! }) },
    l2: { shapes: { x }, op: (t: Tensors) => l2Norm(t.x!) },
    residual: {
      shapes: { x, branch: x, weight },
      op: (t: Tensors) => residualNorm({ x: t.x!, branch: t.branch!, weight: t.weight! }).normed,
    },
  };
  for (const dtype of ['f32', 'f64'] as const) {
    for (const one of Object.values(ops)) await checkRemade(device, { ...one, dtype });
  }
  device.close();
});

test.run();
