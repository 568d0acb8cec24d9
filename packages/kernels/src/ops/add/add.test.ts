import { test } from 'uvu';
import { checkOp, randomNormal } from '../../testing/index.js';
import { add } from './index.js';
import { addReference } from './reference.js';

for (const size of [1, 63, 1000, 100_003]) {
  test(`add ~> ${size} elements`, async () => {
    await checkOp({
      name: `add ${size}`,
      inputs: {
        a: { values: randomNormal(size, 1), shape: [size] },
        b: { values: randomNormal(size, 2), shape: [size] },
      },
      op: ({ a, b }) => [add({ a, b })],
      reference: addReference,
    });
  });
}

test.run();
