import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openCpuDevice } from '../../device.js';
import { fromArray } from '../../tensor.js';
import { checkOp, randomNormal } from '../../testing/index.js';
import { flip } from './index.js';
import { flipReference } from './reference.js';

const product = (dims: readonly number[]) => dims.reduce((total, dim) => total * dim, 1);

for (const [shape, axis] of [
  [[1], 0],
  [[7], 0],
  [[3, 5], 1],
  [[2, 7, 3], 1],
  [[2, 1, 3], 1],
  [[4, 3, 2, 9], 2],
  [[33, 65], 0],
] as const) {
  test(`flip ~> [${shape}] along ${axis}`, async () => {
    await checkOp({
      name: 'flip',
      inputs: { x: { values: randomNormal(product(shape), 1), shape } },
      op: ({ x }) => [flip(x, axis)],
      reference: ({ x }) => [flipReference(x, shape[axis]!, product(shape.slice(axis + 1)))],
    });
  });
}

test('flip ~> flags too; an axis that is not there is refused', async () => {
  const device = openCpuDevice({ poison: true });
  const flags = fromArray(device, [1, 2, 3, 4, 5, 6], [2, 3], 'i32');
  assert.equal([...(await flip(flags).read())], [3, 2, 1, 6, 5, 4]);
  assert.throws(() => flip(fromArray(device, [1], [1])), /E-SHAPE.*flip/s);
  device.close();
});

test.run();
