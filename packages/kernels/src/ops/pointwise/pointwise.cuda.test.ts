import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fromArray } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { checkOpOnGpu, randomNormal } from '../../testing/index.js';
import { activation, activationNames, affine, copy, fill, mul } from './index.js';
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
}

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
  await checkOpOnGpu(device, {
    name: 'mul and affine',
    inputs: { a: a!, b: b! },
    op: (tensors) => [mul(tensors), affine(tensors.a, -0.5, 2)],
    reference: (given) => [given.a.map((x, i) => x * given.b[i]!), given.a.map((x) => 2 - 0.5 * x)],
  });
});

testOnGpu('fill and copy', async (device) => {
  for (const dtype of ['f32', 'i32'] as const) {
    const source = fromArray(device, new Float64Array(70_001).fill(1), [70_001], dtype);
    const target = fromArray(device, new Float64Array(70_001), [70_001], dtype);
    for (const value of [-3, 0]) {
      fill(source, value);
      copy(source, target);
      assert.ok((await target.readNumbers()).every((found) => found === value));
    }
  }
});

test.run();
