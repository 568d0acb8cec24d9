import { test } from 'uvu';
import { openCpuDevice } from '../../device.js';
import { checkOp, checkRemade, randomNormal } from '../../testing/index.js';
import { swiglu } from './index.js';
import { swigluReference } from './reference.js';

for (const size of [1, 63, 1000, 50_001]) {
  test(`swiglu, ${size} elements`, async () => {
    await checkOp({
      name: `swiglu ${size}`,
      inputs: {
        gate: { values: randomNormal(size, 1, 4), shape: [size] },
        up: { values: randomNormal(size, 2), shape: [size] },
      },
      op: (tensors) => [swiglu(tensors)],
      reference: swigluReference,
    });
  });
}

test('swiglu ~> its backward pass writes the product once more, with the same bits', async () => {
  const device = openCpuDevice({ poison: true });
  const shapes = { gate: [37, 45], up: [37, 45] };
  for (const dtype of ['f32', 'f64'] as const) {
    await checkRemade(device, { shapes, dtype, op: ({ gate, up }) => swiglu({ gate: gate!, up: up! }) });
  }
  device.close();
});

test.run();
