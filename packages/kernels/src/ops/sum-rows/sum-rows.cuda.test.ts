import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fromArray, zeros } from '../../tensor.js';
import { fromNumbers, roundedTo } from '../../testing/from-numbers.js';
import { testOnGpu } from '../../testing/gpu.js';
import { expectClose, randomNormal, tolerances } from '../../testing/index.js';
import { sumRows } from './index.js';
import { sumRowsReference } from './reference.js';

for (const [rows, cols] of [
  [1, 1],
  [63, 5],
  [513, 64],
  [5000, 77],
  [300, 1000],
] as const) {
  testOnGpu(`sum-rows ~> [${rows}, ${cols}], twice the same bits`, async (device) => {
    const normal = randomNormal(rows * cols, 1);
    for (const dtype of ['f32', 'bf16'] as const) {
      const values = roundedTo(dtype, normal);
      const x = fromNumbers(device, values, [rows, cols], dtype);
      const expected = sumRowsReference(values, cols);
      for (const targetType of ['f32', 'bf16'] as const) {
        const name = `${dtype} to ${targetType}`;
        const target = zeros(device, [cols], targetType);
        sumRows(x, target, false);
        const found = await target.readNumbers();
        expectClose(name, found, expected, tolerances[targetType]);
        sumRows(x, target, false);
        assert.equal(await target.readNumbers(), found);
        sumRows(x, target, true);
        const twice = expected.map((value) => 2 * value);
        expectClose(`${name}, added`, await target.readNumbers(), twice, tolerances[targetType]);
      }
    }
  });
}

testOnGpu('sum-rows ~> no rows are zeros', async (device) => {
  const target = fromArray(device, [Number.NaN, 1], [2]);
  sumRows(fromArray(device, [], [0, 2]), target, false);
  assert.equal([...(await target.read())], [0, 0]);
});

test.run();
