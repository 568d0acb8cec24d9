import { test } from 'uvu';
import { checkOp, randomNormal } from '../../testing/index.js';
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

test.run();
