import { test } from 'uvu';
import { testOnGpu } from '../../testing/gpu.js';
import { checkOpOnGpu, eitherWay } from '../../testing/index.js';
import { addAlong, mulAlong, repeatHeads, sub, sumHeads } from './index.js';
import { alongProblem, headsProblem, subInputs } from './problem.js';
import {
  addAlongReference,
  mulAlongReference,
  repeatHeadsReference,
  sumHeadsReference,
} from './reference.js';

// [shape of a, shape of b, axis]. 37 columns: the check's seeds nearly cancel over rows of 33, and with them the sums.
for (const [shape, other, axis] of [
  [[1], [1], 0],
  [[63, 7], [7], -1],
  [[3, 70, 37], [37], 2],
  [[3, 70, 5, 16], [3, 70, 5], 0],
  [[2, 65, 3, 19], [3], 2],
  [[2, 65, 3, 19], [3, 19], -2],
  [[2, 65, 3, 64], [65, 3], 1],
  [[1030, 512], [512], 1],
  [[129, 1], [129], 0],
] as const) {
  const { inputs, inner } = alongProblem(shape, other, axis);

  testOnGpu(`mul-along and add-along [${shape}] with [${other}] at ${axis}`, async (device) => {
    await checkOpOnGpu(
      device,
      {
        name: 'mul-along',
        inputs,
        op: ({ a, b }) => [mulAlong({ a, b }, axis)],
        reference: ({ a, b }) => [mulAlongReference(a, b, inner)],
      },
      eitherWay,
    );
    await checkOpOnGpu(
      device,
      {
        name: 'add-along',
        inputs,
        op: ({ a, b }) => [addAlong({ a, b }, axis, -0.75)],
        reference: ({ a, b }) => [addAlongReference(a, b, inner, -0.75)],
      },
      eitherWay,
    );
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

testOnGpu('sub', (device) =>
  checkOpOnGpu(
    device,
    {
      name: 'sub',
      inputs: subInputs,
      op: ({ a, b }) => [sub({ a, b })],
      reference: ({ a, b }) => [addAlongReference(a, b, 1, -1)],
    },
    eitherWay,
  ),
);

for (const [shape, times] of [
  [[1, 1], 1],
  [[2, 7, 3, 5], 4],
  [[70, 2, 64], 3],
  [[9, 1], 67],
] as const) {
  const { inputs, repeated } = headsProblem(shape, times);
  testOnGpu(`repeat-heads [${shape}] × ${times}, and sum-heads`, async (device) => {
    await checkOpOnGpu(device, {
      name: 'repeat-heads',
      inputs,
      op: ({ x }) => [repeatHeads(x, times)],
      reference: ({ x }) => [repeatHeadsReference(x, shape.at(-1)!, times)],
    });
    await checkOpOnGpu(device, {
      name: 'sum-heads',
      inputs: repeated,
      op: ({ x }) => [sumHeads(x, times)],
      reference: ({ x }) => [sumHeadsReference(x, shape.at(-1)!, times)],
    });
  });
}

test.run();
