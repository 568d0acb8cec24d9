import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openCpuDevice } from '../../device.js';
import { fromArray } from '../../tensor.js';
import { checkOp, randomNormal } from '../../testing/index.js';
import { swapAxes } from './index.js';
import { swapAxesReference } from './reference.js';

for (const shape of [
  [1, 1],
  [3, 5],
  [2, 7, 3],
  [4, 1, 2, 9],
]) {
  test(`swap-axes ~> [${shape}]`, async () => {
    const size = shape.reduce((product, dim) => product * dim, 1);
    await checkOp({
      name: 'swap-axes',
      inputs: { x: { values: randomNormal(size, 1), shape } },
      op: ({ x }) => [swapAxes(x)],
      reference: ({ x }) => [swapAxesReference(x, shape[0]!, shape[1]!)],
    });
  });
}

test('swap-axes ~> flags too, and a vector is refused', async () => {
  const device = openCpuDevice({ poison: true });
  const flags = fromArray(device, [1, 2, 3, 4, 5, 6], [2, 3], 'i32');
  assert.equal([...(await swapAxes(flags).read())], [1, 4, 2, 5, 3, 6]);
  assert.throws(() => swapAxes(fromArray(device, [1], [1])), /E-SHAPE.*swap-axes/s);
  device.close();
});

test.run();
