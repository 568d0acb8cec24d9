import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fromArray } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { checkOpOnGpu, randomNormal } from '../../testing/index.js';
import { concatLast, splitLast } from './index.js';
import { columnsReference, concatLastReference } from './reference.js';

for (const [rows, sizes] of [
  [1, [1]],
  [21, [5, 1, 9]],
  [130, [64, 16]],
  [67, [8, 128, 24]],
  [5, [1024, 2]],
] as const) {
  const width = sizes.reduce((sum: number, size) => sum + size, 0);

  testOnGpu(`split-last and concat-last [${rows}, ${width}] ~> ${sizes}`, async (device) => {
    await checkOpOnGpu(device, {
      name: 'split-last',
      inputs: { x: { values: randomNormal(rows * width, 1), shape: [rows, width] } },
      op: ({ x }) => splitLast(x, sizes),
      reference: ({ x }) =>
        sizes.map((size, i) => {
          const from = sizes.slice(0, i).reduce((sum: number, before) => sum + before, 0);
          return columnsReference(x, width, from, size);
        }),
    });
    const parts = sizes.map((size, i) => [
      `part${i}`,
      { values: randomNormal(rows * size, i), shape: [rows, size] },
    ]);
    await checkOpOnGpu<string>(device, {
      name: 'concat-last',
      inputs: Object.fromEntries(parts),
      op: (tensors) => [concatLast(Object.values(tensors))],
      reference: (values) => [concatLastReference(Object.values(values), sizes)],
    });
  });
}

testOnGpu('a part that nobody uses has gradient zero, and other types are copied too', async (device) => {
  await checkOpOnGpu(device, {
    name: 'split-last, one part',
    inputs: { x: { values: randomNormal(21, 1), shape: [3, 7] } },
    op: ({ x }) => splitLast(x, [2, 5]).slice(1),
    reference: ({ x }) => [columnsReference(x, 7, 2, 5)],
  });
  const [, right] = splitLast(fromArray(device, [1, 2, 3, 4, 5, 6], [2, 3], 'i32'), [1, 2]);
  assert.equal([...(await right!.read())], [2, 3, 5, 6]);
});

test.run();
