import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openCpuDevice } from '../../device.js';
import { fromArray } from '../../tensor.js';
import { checkOp, fromNumbers, randomNormal, randomUniform } from '../../testing/index.js';
import { type ActivationName, activation, activationNames, affine, copy, fill, mul, scale } from './index.js';
import { activationReference } from './reference.js';

/** Numbers that the function is defined for. */
const withinDomain = <A extends Float32Array | Float64Array>(name: ActivationName, x: A): A =>
  name === 'log' ? (x.map((value) => Math.abs(value) + 1e-20) as A) : x;

for (const name of activationNames) {
  for (const size of [1, 63, 1000]) {
    test(`${name}, ${size} elements`, async () => {
      await checkOp({
        name,
        inputs: { x: { values: withinDomain(name, randomNormal(size, 1, 2)), shape: [size] } },
        op: ({ x }) => [activation(name, x, -0.75)],
        reference: ({ x }) => [x.map((value) => -0.75 * activationReference[name](value))],
      });
    });
  }
}

test('f32 activations are right to a few ulp from -100 to 80, element by element', async () => {
  const device = openCpuDevice({ poison: true });
  const best = device.native.cpuInfo().level;
  const wide = randomUniform(4000, 1, -86, 80);
  const near = randomUniform(4000, 2, -2, 2);
  const tiny = randomUniform(1000, 3, -1e-6, 1e-6);
  const all = Float32Array.from([...wide, ...near, ...tiny, 0, -0]);
  try {
    for (let level = best; level >= 0; level--) {
      device.native.cpuLimit(level);
      for (const name of activationNames) {
        const x = withinDomain(name, all);
        const y = await activation(name, fromArray(device, x, [x.length])).read();
        y.forEach((value, i) => {
          const expected = activationReference[name](x[i]!);
          // 4 ulp, or the smallest normal number, below which the kernels flush to zero.
          const allowed = 4 * 2 ** -24 * Math.abs(expected) + 1.2e-38;
          assert.ok(
            Math.abs(value - expected) <= allowed,
            `level ${level}, ${name}(${x[i]}) = ${value}, not ${expected}`,
          );
        });
      }
    }
  } finally {
    device.native.cpuLimit(best);
    device.close();
  }
});

test('activations at the extremes, and NaN stays NaN', async () => {
  const device = openCpuDevice({ poison: true });
  try {
    const x = fromArray(device, [-1e30, -200, 200, 1e30, Number.NaN], [5]);
    const at = async (name: Parameters<typeof activation>[0]) => [...(await activation(name, x).read())];
    assert.equal(await at('sigmoid'), [0, 0, 1, 1, Number.NaN]);
    assert.equal(await at('log-sigmoid'), [Math.fround(-1e30), -200, 0, 0, Number.NaN]);
    assert.equal(await at('tanh'), [-1, -1, 1, 1, Number.NaN]);
    assert.equal(await at('exp'), [0, 0, Infinity, Infinity, Number.NaN]);
    assert.equal(await at('elu+1'), [0, 0, 201, Math.fround(1e30), Number.NaN]);
    assert.equal(await at('softplus'), [0, 0, 200, Math.fround(1e30), Number.NaN]);
    assert.equal(await at('gelu'), [-0, -0, 200, Math.fround(1e30), Number.NaN]);
    assert.equal(await at('gelu-tanh'), [-0, -0, 200, Math.fround(1e30), Number.NaN]);
    assert.equal(await at('log'), [
      Number.NaN,
      Number.NaN,
      Math.fround(Math.log(200)),
      Math.fround(Math.log(1e30)),
      Number.NaN,
    ]);
    assert.equal(
      [...(await activation('log', fromArray(device, [0, Infinity, 1], [3])).read())],
      [-Infinity, Infinity, 0],
    );
    assert.equal(await at('relu'), [0, 0, 200, Math.fround(1e30), Number.NaN]);
  } finally {
    device.close();
  }
});

test('mul', async () => {
  await checkOp({
    name: 'mul',
    inputs: {
      a: { values: randomNormal(1003, 1), shape: [17, 59] },
      b: { values: randomNormal(1003, 2), shape: [17, 59] },
    },
    op: ({ a, b }) => [mul({ a, b })],
    reference: ({ a, b }) => [a.map((value, i) => value * b[i]!)],
  });
});

test('mul of a tensor with itself has both gradients', async () => {
  await checkOp({
    name: 'square by mul',
    inputs: { a: { values: randomNormal(63, 1), shape: [63] } },
    op: ({ a }) => [mul({ a, b: a })],
    reference: ({ a }) => [a.map((value) => value * value)],
  });
});

test('scale', async () => {
  await checkOp({
    name: 'scale',
    inputs: { x: { values: randomNormal(63, 1), shape: [7, 9] } },
    op: ({ x }) => [scale(x, 3.5)],
    reference: ({ x }) => [x.map((value) => 3.5 * value)],
  });
});

test('affine', async () => {
  await checkOp({
    name: 'affine',
    inputs: { x: { values: randomNormal(1003, 1), shape: [17, 59] } },
    op: ({ x }) => [affine(x, -0.5, 2)],
    reference: ({ x }) => [x.map((value) => 2 - 0.5 * value)],
  });
});

test('fill and copy', async () => {
  const device = openCpuDevice({ threads: 2, poison: true });
  try {
    for (const dtype of ['f32', 'f64', 'i32', 'bf16'] as const) {
      const source = fromNumbers(device, new Float64Array(70_001).fill(1), [70_001], dtype);
      fill(source, -3);
      const target = fromNumbers(device, new Float64Array(70_001), [70_001], dtype);
      copy(source, target);
      assert.ok((await target.readNumbers()).every((value) => value === -3));
    }
  } finally {
    device.close();
  }
});

test.run();
