import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../device.js';
import type { Tensor } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { checkOpOnGpu, checkRemade, fromNumbers, randomNormal } from '../../testing/index.js';
import { wide } from '../pointwise/index.js';
import { gatedNorm } from './index.js';
import { gatedNormReference } from './reference.js';

const shapes: readonly (readonly number[])[] = [
  [1, 1],
  [63, 7],
  [1000, 33],
  [5, 1030],
  [2, 500, 20, 24],
  [1, 700, 8, 128],
  [130, 512],
  [33, 2048],
  [7, 4096],
  [3, 8200],
];

for (const shape of shapes) {
  const size = shape.reduce((product, dim) => product * dim, 1);
  for (const activation of ['silu', 'sigmoid'] as const) {
    testOnGpu(`gated-norm by ${activation} [${shape}]`, (device) =>
      checkOpOnGpu(device, {
        name: `gated-norm by ${activation}`,
        inputs: {
          x: { values: randomNormal(size, 1), shape },
          weight: { values: randomNormal(shape.at(-1)!, 2), shape: shape.slice(-1) },
          gate: { values: randomNormal(size, 3, 4), shape },
        },
        op: ({ x, weight, gate }) => [gatedNorm({ x, weight: wide(weight), gate }, activation, 0.5)],
        reference: (values) => gatedNormReference(values, activation, 0.5),
      }),
    );
  }
}

/** Output and gradients in bf16 with the weight in f32. */
async function results(device: Device): Promise<Float64Array[]> {
  const shape = [20_000, 128];
  const given = (seed: number) => fromNumbers(device, randomNormal(20_000 * 128, seed), shape, 'bf16');
  const [x, gate] = [given(1), given(2)];
  const weight = fromNumbers(device, randomNormal(128, 3), [128], 'f32');
  weight.gradient = fromNumbers(device, new Float64Array(128), [128], 'f32');
  for (const tensor of [x, gate, weight]) tensor.requiresGrad = true;
  const { result, tape } = device.record(() => gatedNorm({ x, weight, gate }, 'silu'));
  const gradients = tape.backward([result], [given(4)], [x, gate]);
  return Promise.all([result, ...gradients, weight.gradient].map((tensor) => tensor!.readNumbers()));
}

for (const dtype of ['f32', 'bf16'] as const) {
  testOnGpu(
    `gated-norm in ${dtype} ~> its backward pass writes the output once more, with the same bits`,
    async (device) => {
      for (const [rows, cols] of [
        [63, 7],
        [700, 128],
        [130, 512],
        [7, 4096],
        [3, 8200],
      ] as const) {
        for (const activation of ['silu', 'sigmoid'] as const) {
          const shapes = { x: [rows, cols], weight: [cols], gate: [rows, cols] };
          const op = ({ x, weight, gate }: Record<string, Tensor>) =>
            gatedNorm({ x: x!, weight: weight!, gate: gate! }, activation);
          await checkRemade(device, { shapes, dtype, op });
        }
      }
    },
  );
}

testOnGpu('gated-norm ~> twice the same bits', async (device) => {
  assert.equal(await results(device), await results(device));
});

test.run();
