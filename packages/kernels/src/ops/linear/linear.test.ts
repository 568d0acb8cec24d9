import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openCpuDevice } from '../../device.js';
import { empty, fromArray } from '../../tensor.js';
import { checkOp, expectClose, randomNormal, tolerances } from '../../testing/index.js';
import { gemmInfo, linear } from './index.js';
import { linearReference } from './reference.js';

const shapes = [
  { leading: [1], numIn: 1, numOut: 1 },
  { leading: [2, 3], numIn: 5, numOut: 7 },
  { leading: [63], numIn: 33, numOut: 100 },
  { leading: [7, 9], numIn: 200, numOut: 13 },
  { leading: [1000], numIn: 17, numOut: 31 },
];

for (const { leading, numIn, numOut } of shapes) {
  const x = {
    values: randomNormal(
      leading.reduce((a, b) => a * b, numIn),
      1,
    ),
    shape: [...leading, numIn],
  };
  const weight = { values: randomNormal(numIn * numOut, 2), shape: [numOut, numIn] };
  const bias = { values: randomNormal(numOut, 3), shape: [numOut] };
  const name = `linear [${leading}] ${numIn} to ${numOut}`;

  test(`${name}, bias`, async () => {
    await checkOp({
      name,
      inputs: { x, weight, bias },
      op: (tensors) => [linear(tensors)],
      reference: (values) => linearReference(values, numIn, numOut),
    });
  });

  test(`${name}, no bias`, async () => {
    await checkOp({
      name,
      inputs: { x, weight },
      op: ({ x, weight }) => [linear({ x, weight, bias: null })],
      reference: ({ x, weight }) => linearReference({ x, weight, bias: null }, numIn, numOut),
    });
  });
}

test('linear, larger than every block of the matrix product', async () => {
  const [numRows, numIn, numOut] = [300, 420, 530];
  const x = randomNormal(numRows * numIn, 1);
  const weight = randomNormal(numOut * numIn, 2);
  const [expected] = linearReference({ x, weight, bias: null }, numIn, numOut);
  const device = openCpuDevice({ threads: 3, poison: true });
  try {
    for (const dtype of ['f32', 'f64'] as const) {
      const y = linear({
        x: fromArray(device, x, [numRows, numIn], dtype),
        weight: fromArray(device, weight, [numOut, numIn], dtype),
        bias: null,
      });
      expectClose(`linear ${dtype}`, await y.readNumbers(), expected!, tolerances[dtype]);
    }
  } finally {
    device.close();
  }
});

test('linear without inputs is its bias, and without rows nothing', async () => {
  const device = openCpuDevice({ poison: true });
  try {
    const bias = fromArray(device, [1, 2, 3], [3]);
    const empty = fromArray(device, [], [2, 0]);
    const y = linear({ x: empty, weight: fromArray(device, [], [3, 0]), bias });
    assert.equal([...(await y.readNumbers())], [1, 2, 3, 1, 2, 3]);
    const none = linear({
      x: fromArray(device, [], [0, 2]),
      weight: fromArray(device, [1, 2], [1, 2]),
      bias: null,
    });
    assert.is((await none.readNumbers()).length, 0);
  } finally {
    device.close();
  }
});

test('a gradient of x that is added to another', async () => {
  const device = openCpuDevice({ threads: 2, poison: true });
  const { native, compute } = device;
  try {
    for (const dtype of ['f32', 'f64'] as const) {
      const dy = fromArray(device, [1, 2, 3, 4], [2, 2], dtype);
      const weight = fromArray(device, [1, 10, 100, 2, 20, 200], [2, 3], dtype);
      const dx = empty(device, [2, 3], dtype);
      native.linearInputGradient(compute.id, dy.id, weight.id, dx.id, false);
      assert.equal([...(await dx.read())], [5, 50, 500, 11, 110, 1100]);
      native.linearInputGradient(compute.id, dy.id, weight.id, dx.id, true);
      assert.equal([...(await dx.read())], [10, 100, 1000, 22, 220, 2200]);
    }
  } finally {
    device.close();
  }
});

test('gemmInfo names the engine', () => {
  const device = openCpuDevice({ threads: 2 });
  try {
    const info = gemmInfo(device);
    assert.is(info.engine, process.env.LONGSCAN_GEMM === 'builtin' ? 'builtin' : 'oneDNN');
    assert.is(info.numThreads, 2);
  } finally {
    device.close();
  }
});

test.run();
