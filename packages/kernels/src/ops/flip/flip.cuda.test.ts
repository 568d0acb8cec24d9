import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fromArray } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { checkOpOnGpu, randomNormal } from '../../testing/index.js';
import { flip } from './index.js';
import { flipReference } from './reference.js';

const product = (dims: readonly number[]) => dims.reduce((total, dim) => total * dim, 1);

for (const [shape, axis] of [
  [[7], 0],
  [[3, 5], 1],
  [[2, 7, 3], 1],
  [[2, 130, 64], 1],
  [[4, 3, 2, 9], 2],
  [[33, 65], 0],
] as const) {
  testOnGpu(`flip ~> [${shape}] along ${axis}`, (device) =>
    checkOpOnGpu(device, {
      name: 'flip',
      inputs: { x: { values: randomNormal(product(shape), 1), shape } },
      op: ({ x }) => [flip(x, axis)],
      reference: ({ x }) => [flipReference(x, shape[axis]!, product(shape.slice(axis + 1)))],
    }),
  );
}

testOnGpu('flip ~> flags too', async (device) => {
  const flags = fromArray(device, [1, 2, 3, 4, 5, 6], [2, 3], 'i32');
  assert.equal([...(await flip(flags).read())], [3, 2, 1, 6, 5, 4]);
});

test.run();
