import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fromArray } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { checkOpOnGpu, eitherWay, fromNumbers, randomNormal } from '../../testing/index.js';
import { add, axpy } from './index.js';
import { addReference } from './reference.js';

for (const size of [1, 63, 1000, 3_000_001]) {
  testOnGpu(`add ~> ${size} elements`, (device) =>
    checkOpOnGpu(
      device,
      {
        name: `add ${size}`,
        inputs: {
          a: { values: randomNormal(size, 1), shape: [size] },
          b: { values: randomNormal(size, 2), shape: [size] },
        },
        op: ({ a, b }) => [add({ a, b })],
        reference: addReference,
      },
      eitherWay,
    ),
  );
}

testOnGpu('add ~> bf16 and f32 give f32, or what is asked for', async (device) => {
  const a = fromNumbers(device, [1, -2, 0.5], [3], 'bf16');
  const b = fromArray(device, [2 ** -12, 0, 1], [3]);
  const sum = add({ a, b });
  assert.is(sum.dtype, 'f32');
  assert.equal([...(await sum.read())], [1 + 2 ** -12, -2, 1.5]);
  const rounded = add({ a, b }, 'bf16');
  assert.is(rounded.dtype, 'bf16');
  assert.equal([...(await rounded.readNumbers())], [1, -2, 1.5]);
});

testOnGpu('axpy adds bf16 to f32', async (device) => {
  const x = fromNumbers(device, [1, -2, 0.5], [3], 'bf16');
  const target = fromArray(device, [1, 1, 1e-6], [3]);
  axpy(2, x, target);
  assert.equal([...(await target.read())], [...Float32Array.of(3, -3, 1 + 1e-6)]);
});

test.run();
