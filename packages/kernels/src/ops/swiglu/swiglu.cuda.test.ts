import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fromArray, type Tensor } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { checkOpOnGpu, checkRemade, fromNumbers, randomNormal } from '../../testing/index.js';
import { swiglu } from './index.js';
import { projectedSwiglu } from './projected.js';
import { swigluReference } from './reference.js';

for (const size of [1, 63, 4096, 50_001, 1_000_004]) {
  testOnGpu(`swiglu, ${size} elements`, (device) =>
    checkOpOnGpu(device, {
      name: `swiglu ${size}`,
      inputs: {
        gate: { values: randomNormal(size, 1, 4), shape: [size] },
        up: { values: randomNormal(size, 2), shape: [size] },
      },
      op: (tensors) => [swiglu(tensors)],
      reference: swigluReference,
    }),
  );
}

testOnGpu('swiglu at the extremes; NaN stays NaN', async (device) => {
  const gates = [-200, -80, 0, 90, 1e30, Number.NaN];
  const gate = fromArray(device, gates, [gates.length]);
  const up = fromArray(device, new Float64Array(gates.length).fill(1), [gates.length]);
  const found = await swiglu({ gate, up }).read();
  const [expected] = swigluReference({
    gate: Float64Array.from(gates),
    up: Float64Array.from(gates, () => 1),
  });
  found.forEach((value, i) => {
    const exact = expected![i]!;
    const isRight = Number.isNaN(exact)
      ? Number.isNaN(value)
      : Math.abs(value - exact) <= 1e-5 * Math.abs(exact) + 1e-44;
    assert.ok(isRight, `silu(${gates[i]}) = ${value}, not ${exact}`);
  });
});

for (const dtype of ['f32', 'bf16'] as const) {
  testOnGpu(
    `swiglu in ${dtype} ~> its backward pass writes the product once more, with the same bits`,
    async (device) => {
      for (const columns of [40, 1032]) {
        const shapes = { gate: [37, columns], up: [37, columns] };
        await checkRemade(device, { shapes, dtype, op: ({ gate, up }) => swiglu({ gate: gate!, up: up! }) });
        // Side by side in both runs, as parameters are: products are cut up by where weights lie.
        const weights = fromNumbers(device, randomNormal(128 * columns, 9), [2 * columns, 64], dtype);
        const op = ({ x }: Record<string, Tensor>) => {
          const [gate, up] = [0, 1].map((i) => weights.view([columns, 64], i * columns * 64));
          return projectedSwiglu({ x: x!, gate: gate!, up: up! });
        };
        await checkRemade(device, { shapes: { x: [37, 64] }, dtype, op });
      }
    },
  );
}

test.run();
