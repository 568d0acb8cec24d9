import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openCpuDevice } from '../../device.js';
import { fromArray } from '../../tensor.js';
import { expectClose, randomNormal, tolerances } from '../../testing/index.js';
import { sumRows } from './index.js';
import { sumRowsReference } from './reference.js';

for (const [rows, cols] of [
  [0, 3],
  [1, 1],
  [63, 5],
  [129, 64],
  [1000, 77],
  [300, 1000],
] as const) {
  test(`sum-rows ~> [${rows}, ${cols}] on every level`, async () => {
    const device = openCpuDevice({ threads: 2, poison: true });
    const best = device.native.cpuInfo().level;
    const x = randomNormal(rows * cols, 1);
    const expected = sumRowsReference(x, cols);
    try {
      for (let level = best; level >= 0; level--) {
        device.native.cpuLimit(level);
        for (const dtype of ['f32', 'f64'] as const) {
          const tensor = fromArray(device, x, [rows, cols], dtype);
          const target = fromArray(device, new Float64Array(cols).fill(NaN), [cols], dtype);
          sumRows(tensor, target, false);
          expectClose(`level ${level} ${dtype}`, await target.readNumbers(), expected, tolerances[dtype]);
          sumRows(tensor, target, true);
          const twice = expected.map((value) => 2 * value);
          expectClose(`level ${level} ${dtype}, twice`, await target.readNumbers(), twice, tolerances[dtype]);
        }
      }
    } finally {
      device.native.cpuLimit(best);
      device.close();
    }
  });
}

test('sum-rows gives the same bits for every number of threads', async () => {
  const x = randomNormal(5000 * 130, 1);
  const results: Float64Array[] = [];
  for (const threads of [1, 2, 3]) {
    const device = openCpuDevice({ threads });
    const target = fromArray(device, new Float64Array(130), [130]);
    sumRows(fromArray(device, x, [5000, 130]), target, false);
    results.push(await target.readNumbers());
    device.close();
  }
  assert.equal(results[1], results[0]);
  assert.equal(results[2], results[0]);
});

test.run();
