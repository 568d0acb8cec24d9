import { test } from 'uvu';
import { testOnGpu } from '../../testing/gpu.js';
import { checkOpOnGpu, eitherWay } from '../../testing/index.js';
import { mulAlong } from './index.js';
import { alongChecks, alongProblem, alongShapes, headsChecks, subCheck } from './problem.js';
import { mulAlongReference } from './reference.js';

for (const [shape, other, axis] of [
  ...alongShapes,
  [[3, 70, 5, 16], [3, 70, 5], 0],
  [[2, 65, 3, 64], [65, 3], 1],
  [[1030, 512], [512], 1],
] as const) {
  testOnGpu(`mul-along and add-along [${shape}] with [${other}] at ${axis}`, async (device) => {
    for (const check of alongChecks(shape, other, axis)) await checkOpOnGpu(device, check, eitherWay);
  });
}

testOnGpu('mul-along ~> as bf16 of bf16 and f32', (device) => {
  const { inputs, inner } = alongProblem([3, 70, 5, 16], [5, 16], -2);
  return checkOpOnGpu(
    device,
    {
      name: 'mul-along as bf16',
      inputs,
      op: ({ a, b }) => [mulAlong({ a, b }, -2, a.dtype)],
      reference: ({ a, b }) => [mulAlongReference(a, b, inner)],
    },
    [{ a: 'bf16', b: 'f32' }],
  );
});

testOnGpu('sub', (device) => checkOpOnGpu(device, subCheck, eitherWay));

for (const [shape, times] of [
  [[1, 1], 1],
  [[2, 7, 3, 5], 4],
  [[70, 2, 64], 3],
  [[9, 1], 67],
] as const) {
  testOnGpu(`repeat-heads [${shape}] × ${times}, and sum-heads`, async (device) => {
    for (const check of headsChecks(shape, times)) await checkOpOnGpu(device, check);
  });
}

test.run();
