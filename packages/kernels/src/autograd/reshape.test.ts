import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openShapeDevice } from '../device.js';
import { mul } from '../ops/pointwise/index.js';
import { empty } from '../tensor.js';
import { checkOp, randomNormal } from '../testing/index.js';
import { reshape } from './reshape.js';

test('reshape keeps the elements, and gradients pass through', async () => {
  await checkOp({
    name: 'reshape',
    inputs: { x: { values: randomNormal(2 * 5 * 12, 1), shape: [2, 5, 12] } },
    op: ({ x }) => {
      const heads = reshape(x, [2, 5, 3, -1]);
      return [mul({ a: heads, b: heads }), reshape(heads, [10, 12])];
    },
    reference: ({ x }) => [x.map((value) => value * value), x],
  });
});

test('a shape of another size is E-SHAPE', () => {
  const device = openShapeDevice();
  const x = empty(device, [4, 6]);
  assert.equal(reshape(x, [-1, 8]).shape, [3, 8]);
  for (const shape of [
    [5, 5],
    [-1, 5],
    [-1, -1],
  ])
    assert.throws(() => reshape(x, shape), /E-SHAPE/);
});

test.run();
