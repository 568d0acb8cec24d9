import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { checkOp, randomNormal } from '../../testing/index.js';
import { featureMap, numFeatures } from './index.js';
import { featureMapReference, featureProducts } from './reference.js';

for (const kind of ['taylor', 'square'] as const) {
  for (const shape of [
    [1, 1],
    [3, 2],
    [5, 16],
    [2, 3, 2, 7],
    [700, 9],
  ]) {
    test(`feature-map ${kind} [${shape}]`, async () => {
      const size = shape.reduce((product, dim) => product * dim, 1);
      await checkOp({
        name: `feature-map ${kind}`,
        inputs: { x: { values: randomNormal(size, 1), shape } },
        op: ({ x }) => [featureMap(kind, x)],
        reference: ({ x }) => [featureMapReference(kind, x, shape.at(-1)!)],
      });
    });
  }

  test(`feature-map ${kind} ~> products of features are the polynomial`, () => {
    const K = 11;
    const [q, k] = [randomNormal(K, 1), randomNormal(K, 2)];
    const features = [q, k].map((row) => featureMapReference(kind, row, K));
    assert.is(features[0]!.length, numFeatures(kind, K));
    const product = features[0]!.reduce((sum, value, i) => sum + value * features[1]![i]!, 0);
    const s = q.reduce((sum, value, i) => sum + value * k[i]!, 0);
    assert.ok(Math.abs(product - featureProducts[kind](s, K)) < 1e-12);
  });
}

test.run();
