import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fromArray } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { checkOpOnGpu, fromNumbers, randomNormal } from '../../testing/index.js';
import { add, axpy } from './index.js';
import { addReference } from './reference.js';

for (const size of [1, 63, 1000, 3_000_001]) {
  testOnGpu(`add ~> ${size} elements`, (device) =>
    checkOpOnGpu(device, {
      name: `add ${size}`,
      inputs: {
        a: { values: randomNormal(size, 1), shape: [size] },
        b: { values: randomNormal(size, 2), shape: [size] },
      },
      op: ({ a, b }) => [add({ a, b })],
      reference: addReference,
    }),
  );
}

testOnGpu('axpy adds bf16 to f32', async (device) => {
  const x = fromNumbers(device, [1, -2, 0.5], [3], 'bf16');
  const target = fromArray(device, [1, 1, 1e-6], [3]);
  axpy(2, x, target);
  assert.equal([...(await target.read())], [...Float32Array.of(3, -3, 1 + 1e-6)]);
});

test.run();
