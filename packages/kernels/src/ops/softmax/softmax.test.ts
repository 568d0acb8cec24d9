import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openCpuDevice } from '../../device.js';
import { fromArray } from '../../tensor.js';
import { checkOp, randomNormal } from '../../testing/index.js';
import { route, softmax } from './index.js';
import { softmaxReference } from './reference.js';

for (const [rows, cols] of [
  [1, 1],
  [63, 7],
  [10, 64],
  [130, 33],
] as const) {
  const x = { values: randomNormal(rows * cols, 1), shape: [rows, cols] };
  test(`softmax [${rows}, ${cols}]`, async () => {
    await checkOp({
      name: 'softmax',
      inputs: { x },
      op: ({ x }) => [softmax(x)],
      reference: ({ x }) => [softmaxReference(x, cols)],
    });
  });
  for (const count of new Set([1, Math.ceil(cols / 3), cols])) {
    for (const always of [0, 2]) {
      test(`route [${rows}, ${cols}] to ${count}, and to ${always} always`, async () => {
        await checkOp({
          name: 'route',
          inputs: { x },
          op: ({ x }) => [route(x, count, always).weights],
          reference: ({ x }) => [softmaxReference(x, cols, count, always)],
        });
      });
    }
  }
}

test('softmax of large numbers does not overflow', async () => {
  const device = openCpuDevice({ poison: true });
  const y = await softmax(fromArray(device, [1e4, 1e4, -1e4, -3e38, 0, 3e38], [2, 3])).read();
  assert.equal([...y], [0.5, 0.5, 0, 0, 0, 1]);
  device.close();
});

test('route takes the first of equal elements, and says which', async () => {
  const device = openCpuDevice({ poison: true });
  const { weights, selected } = route(fromArray(device, [1, 2, 2, 2, -5, -6, -4, -6], [2, 4]), 2, 1);
  assert.equal([...(await selected.read())], [0, 1, 1, 0, 1, 1, 0, 1, 0, 1]);
  assert.equal([...(await weights.read())].slice(0, 5), [0, 0.5, 0.5, 0, 1]);
  device.close();
});

test('a NaN stays in its row', async () => {
  const device = openCpuDevice({ poison: true });
  const x = fromArray(device, [Number.NaN, 1, 2, 0, 0, 0], [2, 3]);
  const values = await softmax(x).read();
  assert.ok(values.slice(0, 3).every(Number.isNaN));
  assert.ok(values.slice(3).every((value) => Math.abs(value - 1 / 3) < 1e-7));
  const { weights } = route(x, 2);
  assert.ok((await weights.read()).slice(0, 3).some(Number.isNaN));
  device.close();
});

test('route refuses to send a row nowhere, or to more destinations than there are', () => {
  const device = openCpuDevice();
  const x = fromArray(device, [1, 2, 3], [1, 3]);
  for (const count of [0, 4, 1.5]) assert.throws(() => route(x, count), /E-ARGUMENT.*between 1 and 3/);
  device.close();
});

test.run();
