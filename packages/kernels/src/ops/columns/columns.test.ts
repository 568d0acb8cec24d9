import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openCpuDevice } from '../../device.js';
import { empty, fromArray } from '../../tensor.js';
import { checkOp, randomNormal } from '../../testing/index.js';
import { concatLast, splitLast } from './index.js';
import { columnsReference, concatLastReference } from './reference.js';

for (const [rows, sizes] of [
  [[1], [1]],
  [
    [3, 7],
    [5, 1, 9],
  ],
  [[130], [64, 17]],
] as const) {
  const width = sizes.reduce((sum, size) => sum + size, 0);
  const numRows = rows.reduce((product: number, dim) => product * dim, 1);

  test(`split-last [${rows}] into ${sizes}`, async () => {
    await checkOp({
      name: 'split-last',
      inputs: { x: { values: randomNormal(numRows * width, 1), shape: [...rows, width] } },
      op: ({ x }) => splitLast(x, sizes),
      reference: ({ x }) => {
        let from = 0;
        return sizes.map((size) => {
          const part = columnsReference(x, width, from, size);
          from += size;
          return part;
        });
      },
    });
  });
}

test('concat-last', async () => {
  const sizes = [5, 1, 33];
  await checkOp({
    name: 'concat-last',
    inputs: {
      a: { values: randomNormal(21 * 5, 1), shape: [3, 7, 5] },
      b: { values: randomNormal(21, 2), shape: [3, 7, 1] },
      c: { values: randomNormal(21 * 33, 3), shape: [3, 7, 33] },
    },
    op: ({ a, b, c }) => [concatLast([a, b, c])],
    reference: ({ a, b, c }) => [concatLastReference([a, b, c], sizes)],
  });
});

test('a part that nobody uses has gradient zero', async () => {
  await checkOp({
    name: 'split-last, one part',
    inputs: { x: { values: randomNormal(21, 1), shape: [3, 7] } },
    op: ({ x }) => splitLast(x, [2, 5]).slice(1),
    reference: ({ x }) => [columnsReference(x, 7, 2, 5)],
    maxElements: 21,
  });
});

test('sizes that do not fit are refused, and other types are copied too', async () => {
  const device = openCpuDevice({ poison: true });
  assert.throws(() => splitLast(empty(device, [2, 5]), [2, 2]), /E-SHAPE.*split-last.*2 \+ 2 = 4/s);
  assert.throws(
    () => concatLast([empty(device, [2, 5]), empty(device, [3, 5])]),
    /E-SHAPE.*concat-last.*\[3, 5\]/s,
  );
  const [, right] = splitLast(fromArray(device, [1, 2, 3, 4, 5, 6], [2, 3], 'i32'), [1, 2]);
  assert.equal([...(await right!.read())], [2, 3, 5, 6]);
  device.close();
});

test.run();
