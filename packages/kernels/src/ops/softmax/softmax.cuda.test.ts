import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { empty, fromArray } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { checkOpOnGpu, randomNormal } from '../../testing/index.js';
import { route, softmax } from './index.js';
import { softmaxReference } from './reference.js';

for (const [rows, cols] of [
  [1, 1],
  [63, 7],
  [3000, 64],
  [130, 33],
  [40, 1024],
  [9, 2056],
  [3, 16384],
] as const) {
  const x = { values: randomNormal(rows * cols, 1), shape: [rows, cols] };
  testOnGpu(`softmax [${rows}, ${cols}]`, (device) =>
    checkOpOnGpu(device, {
      name: 'softmax',
      inputs: { x },
      op: (tensors) => [softmax(tensors.x)],
      reference: (values) => [softmaxReference(values.x, cols)],
    }),
  );
  if (cols > 1024) continue;
  for (const count of new Set([1, Math.min(4, Math.ceil(cols / 3)), Math.min(cols, 40)])) {
    testOnGpu(`route [${rows}, ${cols}] to ${count}, and to 0 or 2 always`, async (device) => {
      for (const always of [0, 2]) {
        await checkOpOnGpu(device, {
          name: `route, ${always} always`,
          inputs: { x },
          op: (tensors) => [route(tensors.x, count, always).weights],
          reference: (values) => [softmaxReference(values.x, cols, count, always)],
        });
      }
    });
  }
}

testOnGpu('route takes the first of equal elements, and says which', async (device) => {
  const { weights, selected } = route(fromArray(device, [1, 2, 2, 2, -5, -6, -4, -6], [2, 4]), 2, 1);
  assert.equal([...(await selected.read())], [0, 1, 1, 0, 1, 1, 0, 1, 0, 1]);
  assert.equal([...(await weights.read())].slice(0, 5), [0, 0.5, 0.5, 0, 1]);
});

testOnGpu('softmax of large numbers does not overflow; a NaN stays in its row', async (device) => {
  const y = await softmax(fromArray(device, [1e4, 1e4, -1e4, -3e38, 0, 3e38], [2, 3])).read();
  assert.equal([...y], [0.5, 0.5, 0, 0, 0, 1]);
  const x = fromArray(device, [1, Number.NaN, 2, 0, 0, 0], [2, 3]);
  const values = await softmax(x).read();
  assert.ok(values.slice(0, 3).every(Number.isNaN));
  assert.ok(values.slice(3).every((value) => Math.abs(value - 1 / 3) < 1e-7));
  const weights = await route(x, 2).weights.read();
  assert.ok(weights.slice(0, 3).some(Number.isNaN));
  assert.ok(!weights.slice(3).some(Number.isNaN));
});

testOnGpu('no kernel for more than 1024 destinations', async (device) => {
  assert.throws(
    () => route(empty(device, [2, 1025]), 1),
    /E-CUDA-KERNEL.*1025 destinations.*up to 1024.*Fix/s,
  );
});

test.run();
