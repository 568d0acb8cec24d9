import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../device.js';
import { fromArray, type Tensor, zeros } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { checkOpOnGpu, fromNumbers, randomNormal } from '../../testing/index.js';
import { linear } from '../linear/index.js';
import { swiglu } from './index.js';
import { projectedSwiglu } from './projected.js';
import { swigluReference } from './reference.js';

const product = (x: Float64Array, weight: Float64Array, [rows, numIn, hidden]: readonly number[]) =>
  Float64Array.from({ length: rows! * hidden! }, (_, i) => {
    const [row, column] = [Math.floor(i / hidden!), i % hidden!];
    let sum = 0;
    for (let k = 0; k < numIn!; k++) sum += x[row * numIn! + k]! * weight[column * numIn! + k]!;
    return sum;
  });

// 20 columns of bf16 are no whole packs: gate and up go apart.
for (const sizes of [
  [1, 8, 8],
  [37, 24, 40],
  [300, 72, 1032],
  [65, 33, 20],
] as const) {
  const [rows, numIn, hidden] = sizes;
  testOnGpu(`projected swiglu, ${sizes.join(' x ')}`, (device) =>
    checkOpOnGpu(device, {
      name: `projected swiglu ${sizes.join(' x ')}`,
      inputs: {
        x: { values: randomNormal(rows * numIn, 1), shape: [rows, numIn] },
        gate: { values: randomNormal(hidden * numIn, 2, numIn ** -0.5), shape: [hidden, numIn] },
        up: { values: randomNormal(hidden * numIn, 3, numIn ** -0.5), shape: [hidden, numIn] },
      },
      op: (tensors) => [projectedSwiglu(tensors)],
      reference: ({ x, gate, up }) =>
        swigluReference({ gate: product(x, gate, sizes), up: product(x, up, sizes) }),
    }),
  );
}

const [rows, numIn, hidden] = [200, 64, 96];

interface Parameters {
  readonly dtype: 'f32' | 'bf16';
  /** Elements between the two of them. */
  readonly gap: number;
  readonly stale: readonly boolean[];
}

/** Two parameters whose f32 gradients begin at 1 and are stale or not; two passes over them. */
async function train(device: Device, op: typeof projectedSwiglu, { dtype, gap, stale }: Parameters) {
  const size = hidden * numIn;
  const given = (count: number, seed: number, shape: readonly number[], scale = 1) =>
    fromNumbers(device, randomNormal(count, seed, scale), shape, dtype);
  const values = given(2 * size + gap, 5, [2 * size + gap], 0.1);
  const gradients = fromArray(device, new Float64Array(2 * size + gap).fill(1), [2 * size + gap]);
  const [gate, up] = [0, 1].map((which) => {
    const parameter = values.view([hidden, numIn], which * (size + gap));
    parameter.requiresGrad = true;
    parameter.gradient = gradients.view([hidden, numIn], which * (size + gap));
    parameter.isGradientStale = stale[which]!;
    return parameter;
  }) as [Tensor, Tensor];
  const x = given(rows * numIn, 6, [rows, numIn]);
  x.requiresGrad = true;
  const seed = given(rows * hidden, 7, [rows, hidden]);
  const found: Float64Array[] = [];
  for (let pass = 0; pass < 2; pass++) {
    const { result, tape } = device.record(() => op({ x, gate, up }));
    const [dx] = tape.backward([result], [seed], [x]);
    found.push(await result.readNumbers(), await dx!.readNumbers());
  }
  return [...found, await gradients.readNumbers()];
}

const apart: typeof projectedSwiglu = ({ x, gate, up }) => {
  const project = (weight: Tensor) => linear({ x, weight, bias: null });
  return swiglu({ gate: project(gate), up: project(up) });
};

for (const dtype of ['f32', 'bf16'] as const) {
  // The gradient of x is rounded once or twice.
  const tolerance = dtype === 'f32' ? 1e-4 : 2 ** -6;
  for (const gap of [0, 16]) {
    for (const stale of [
      [true, true],
      [false, false],
      [true, false],
    ]) {
      testOnGpu(
        `${dtype} parameters ${gap} elements apart, gradients stale: ${stale} ~> as of two projections`,
        async (device) => {
          const expected = await train(device, apart, { dtype, gap, stale });
          const found = await train(device, projectedSwiglu, { dtype, gap, stale });
          found.forEach((numbers, i) => {
            numbers.forEach((value, at) => {
              const exact = expected[i]![at]!;
              assert.ok(
                Math.abs(value - exact) < tolerance * (1 + Math.abs(exact)),
                `${i}, ${at}: ${value}, ${exact}`,
              );
            });
          });
        },
      );
    }
  }
}

testOnGpu('no tokens leave gradients of zero', async (device) => {
  const weight = () => {
    const tensor = zeros(device, [8, 8]);
    tensor.requiresGrad = true;
    tensor.gradient = fromArray(device, new Float64Array(64).fill(3), [8, 8]);
    tensor.isGradientStale = true;
    return tensor;
  };
  const [gate, up, x] = [weight(), weight(), zeros(device, [0, 8])];
  const { result, tape } = device.record(() => projectedSwiglu({ x, gate, up }));
  tape.backward([result], [zeros(device, [0, 8])]);
  for (const { gradient } of [gate, up]) assert.ok((await gradient!.read()).every((value) => value === 0));
});

test.run();
