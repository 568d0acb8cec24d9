import { test } from 'uvu';
import { checkOp, randomNormal, randomUniform } from '../../testing/index.js';
import { complexFunction, complexFunctionNames, complexMul } from './index.js';
import { complexFunctionReference, complexMulReference } from './reference.js';

/** z of a slow mode, of one at the edge of the series, and of one that turns a whole circle per token. */
const magnitudes = [1e-3, 0.5, 2, 8];

for (const name of complexFunctionNames) {
  for (const magnitude of magnitudes) {
    test(`complex-function ~> ${name} of |z| up to ${magnitude}`, async () => {
      const size = 61;
      const re = randomUniform(size, 1, -magnitude, -magnitude / 10);
      const im = randomUniform(size, 2, -magnitude, magnitude);
      const z = Float64Array.from({ length: 2 * size }, (_, i) => (i % 2 === 0 ? re : im)[i >> 1]!);
      await checkOp({
        name,
        inputs: { z: { values: z, shape: [size, 2] } },
        op: (inputs) => [complexFunction(name, inputs.z)],
        reference: (values) => [complexFunctionReference(name, values.z)],
      });
    });
  }
}

test('complex-mul', async () => {
  const shape = [7, 9, 2];
  await checkOp({
    name: 'complex-mul',
    inputs: {
      a: { values: randomNormal(126, 1), shape },
      b: { values: randomNormal(126, 2), shape },
    },
    op: (inputs) => [complexMul(inputs)],
    reference: ({ a, b }) => [complexMulReference(a, b)],
  });
});

test.run();
