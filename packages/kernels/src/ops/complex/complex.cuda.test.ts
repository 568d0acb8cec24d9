import { test } from 'uvu';
import { testOnGpu } from '../../testing/gpu.js';
import { checkOpOnGpu, randomNormal } from '../../testing/index.js';
import { complexFunction, complexFunctionNames, complexMul } from './index.js';
import { magnitudes, numbersOf } from './problem.js';
import { complexFunctionReference, complexMulReference } from './reference.js';

for (const name of complexFunctionNames) {
  for (const magnitude of magnitudes) {
    testOnGpu(`complex-function ~> ${name} of |z| up to ${magnitude}`, (device) =>
      checkOpOnGpu(device, {
        name,
        inputs: { z: numbersOf(magnitude) },
        op: ({ z }) => [complexFunction(name, z)],
        reference: ({ z }) => [complexFunctionReference(name, z)],
      }),
    );
  }
}

testOnGpu('complex-mul', (device) => {
  const [a, b] = [1, 2].map((seed) => ({ values: randomNormal(126, seed), shape: [7, 9, 2] }));
  return checkOpOnGpu(device, {
    name: 'complex-mul',
    inputs: { a: a!, b: b! },
    op: (inputs) => [complexMul(inputs)],
    reference: (given) => [complexMulReference(given.a, given.b)],
  });
});

test.run();
