import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fromArray } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { checkOpOnGpu, eitherWay, fromNumbers, randomNormal } from '../../testing/index.js';
import { activation, activationNames, affine, cast, copy, fill, mul, wide } from './index.js';
import { activationReference } from './reference.js';

const size = 1003;

for (const name of activationNames) {
  testOnGpu(name, (device) => {
    const x = randomNormal(size, 1, 2);
    const values = name === 'log' ? x.map((value) => Math.abs(value) + 1e-3) : x;
    return checkOpOnGpu(device, {
      name,
      inputs: { x: { values, shape: [size] } },
      op: (tensors) => [activation(name, tensors.x, -0.75)],
      reference: (given) => [given.x.map((value) => -0.75 * activationReference[name](value))],
    });
  });

  testOnGpu(`${name} ~> of bf16 in f32`, async (device) => {
    const x = [0.5, 1.25, 3, 0.001953125];
    const y = activation(name, fromNumbers(device, x, [4], 'bf16'), 2, { wide: true });
    assert.is(y.dtype, 'f32');
    (await y.read()).forEach((value, i) => {
      const expected = 2 * activationReference[name](x[i]!);
      assert.ok(Math.abs(value - expected) <= 1e-6 * Math.abs(expected), `${name}(${x[i]}) = ${value / 2}`);
    });
  });
}

testOnGpu('a wide activation and wide ~> the gradient of bf16 is bf16', (device) =>
  checkOpOnGpu(device, {
    name: 'wide',
    inputs: { x: { values: randomNormal(size, 1), shape: [17, 59] } },
    op: ({ x }) => [
      activation('log-sigmoid', x, 1 / 16, { wide: true }),
      activation('identity', x, 3, { wide: true }),
      wide(x),
    ],
    reference: ({ x }) => [
      x.map((value) => activationReference['log-sigmoid'](value) / 16),
      x.map((value) => 3 * value),
      x,
    ],
  }),
);

testOnGpu('cast ~> to nearest, ties to even; infinities and NaN stay', async (device) => {
  const half = 2 ** -8;
  const x = [1 + half, 1 + 3 * half, -1 - half - 2 ** -20, 3.4e38, Number.POSITIVE_INFINITY, Number.NaN, -0];
  const rounded = cast(fromArray(device, x, [7]), 'bf16');
  assert.is(rounded.dtype, 'bf16');
  const infinity = Number.POSITIVE_INFINITY;
  const expected = [1, 1 + 4 * half, -1 - 2 * half, infinity, infinity, Number.NaN, -0];
  assert.equal([...(await rounded.readNumbers())], expected);
  assert.equal([...(await cast(rounded, 'f32').read())], expected);
});

testOnGpu('activations and their slopes stay finite at the extremes, and NaN stays NaN', async (device) => {
  const at = [-1e30, -200, 200, 1e30];
  const x = fromArray(device, [...at, Number.NaN], [5]);
  for (const name of activationNames) {
    if (name === 'log') continue;
    const values = await activation(name, x).read();
    const expected = [...at, Number.NaN].map((value) => Math.fround(activationReference[name](value)));
    values.forEach((value, i) => {
      const same = Object.is(value + 0, expected[i]! + 0) || Math.abs(value / expected[i]! - 1) < 1e-6;
      assert.ok(same, `${name}(${[...at, Number.NaN][i]}) = ${value}, not ${expected[i]}`);
    });
  }
});

testOnGpu('mul and affine', async (device) => {
  const [a, b] = [1, 2].map((seed) => ({ values: randomNormal(size, seed), shape: [17, 59] }));
  await checkOpOnGpu(
    device,
    {
      name: 'mul and affine',
      inputs: { a: a!, b: b! },
      op: (tensors) => [mul(tensors), affine(tensors.a, -0.5, 2)],
      reference: (given) => [given.a.map((x, i) => x * given.b[i]!), given.a.map((x) => 2 - 0.5 * x)],
    },
    eitherWay,
  );
});

testOnGpu('fill and copy', async (device) => {
  for (const dtype of ['f32', 'i32', 'bf16'] as const) {
    const source = fromNumbers(device, new Float64Array(70_001).fill(1), [70_001], dtype);
    const target = fromNumbers(device, new Float64Array(70_001), [70_001], dtype);
    for (const value of [-3, 0]) {
      fill(source, value);
      copy(source, target);
      assert.ok((await target.readNumbers()).every((found) => found === value));
    }
  }
});

test.run();
