import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fromArray } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { checkOpOnGpu, randomNormal } from '../../testing/index.js';
import { splitLast } from '../columns/index.js';
import { featureMap, numFeatures } from './index.js';
import { featureMapReference } from './reference.js';

for (const kind of ['taylor', 'square'] as const) {
  for (const shape of [
    [1, 1],
    [3, 2],
    [5, 16],
    [2, 3, 2, 7],
    [700, 9],
    [3, 257],
  ]) {
    const K = shape.at(-1)!;
    const size = shape.reduce((product, dim) => product * dim, 1);
    const x = { values: randomNormal(size, 1), shape };

    testOnGpu(`feature-map ${kind} [${shape}]`, (device) =>
      checkOpOnGpu(device, {
        name: `feature-map ${kind}`,
        inputs: { x },
        // The features alone: rows end in zeros on a GPU.
        op: (given) => {
          const y = featureMap(kind, given.x);
          const features = numFeatures(kind, K);
          return y.dim(-1) === features ? [y] : [splitLast(y, [features, y.dim(-1) - features])[0]!];
        },
        reference: (given) => [featureMapReference(kind, given.x, K)],
      }),
    );
  }
}

testOnGpu('feature-map ~> rows of a multiple of 8, which end in zeros', async (device) => {
  const y = featureMap('taylor', fromArray(device, [1, 2, 3], [1, 3]));
  assert.equal(y.shape, [1, 16]);
  assert.equal([...(await y.read())].slice(numFeatures('taylor', 3)), [0, 0, 0, 0, 0, 0]);
});

test.run();
