import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fromArray } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { checkOpOnGpu, randomNormal } from '../../testing/index.js';
import { swapAxes } from './index.js';
import { swapAxesReference } from './reference.js';

for (const shape of [
  [1, 1],
  [3, 5],
  [100, 4],
  [65, 130],
  [2, 7, 3],
  [4, 1, 2, 9],
  [3, 70, 64],
]) {
  const size = shape.reduce((product, dim) => product * dim, 1);
  testOnGpu(`swap-axes ~> [${shape}]`, (device) =>
    checkOpOnGpu(device, {
      name: 'swap-axes',
      inputs: { x: { values: randomNormal(size, 1), shape } },
      op: ({ x }) => [swapAxes(x)],
      reference: ({ x }) => [swapAxesReference(x, shape[0]!, shape[1]!)],
    }),
  );
}

testOnGpu('swap-axes ~> flags too', async (device) => {
  const flags = fromArray(device, [1, 2, 3, 4, 5, 6], [2, 3], 'i32');
  assert.equal([...(await swapAxes(flags).read())], [1, 4, 2, 5, 3, 6]);
});

test.run();
