import { test } from 'uvu';
import { checkOp, randomNormal } from '../../testing/index.js';
import { complexFunction, complexFunctionNames, complexMul } from './index.js';
import { magnitudes, numbersOf } from './problem.js';
import { complexFunctionReference, complexMulReference } from './reference.js';

for (const name of complexFunctionNames) {
  for (const magnitude of magnitudes) {
    test(`complex-function ~> ${name} of |z| up to ${magnitude}`, async () => {
      await checkOp({
        name,
        inputs: { z: numbersOf(magnitude) },
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
