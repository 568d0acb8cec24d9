import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fromArray } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { checkOpOnGpu, randomNormal } from '../../testing/index.js';
import { where } from './index.js';
import { whereReference } from './reference.js';

const flags = [0, 1, 1, 0, 1, 0];

for (const rest of [[], [3], [2, 17], [512]]) {
  const shape = [2, 3, ...rest];
  const size = shape.reduce((product, dim) => product * dim, 1);
  const input = (seed: number) => ({ values: randomNormal(size, seed), shape });

  testOnGpu(`where ~> [${shape}]`, async (device) => {
    await checkOpOnGpu(device, {
      name: 'two sides',
      inputs: { a: input(1), b: input(2) },
      op: ({ a, b }, on) => [where({ condition: fromArray(on, flags, [2, 3], 'i32'), a, b })],
      reference: ({ a, b }) => [whereReference(flags, a, b)],
    });
    await checkOpOnGpu(device, {
      name: 'one side',
      inputs: { x: input(1) },
      op: ({ x }, on) => {
        const condition = fromArray(on, flags, [2, 3], 'i32');
        return [where({ condition, a: x, b: null }), where({ condition, a: null, b: x })];
      },
      reference: ({ x }) => [whereReference(flags, x, null), whereReference(flags, null, x)],
    });
  });
}

testOnGpu('where ~> NaN that is not selected goes nowhere', async (device) => {
  const x = fromArray(device, [Number.NaN, 2], [2]);
  const condition = fromArray(device, [1, 0], [2], 'i32');
  assert.equal([...(await where({ condition, a: null, b: x }).read())], [0, 2]);
});

test.run();
