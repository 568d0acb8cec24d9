import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../device.js';
import { fromArray, type Tensor, zeros } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { checkOpOnGpu, checkRemade, fromNumbers, randomNormal } from '../../testing/index.js';
import { linear } from '../linear/index.js';
import { checkKnownOutput } from './check-known-output.js';
import { gatedMlp } from './gated-mlp.js';
import { gatedMlpCheck } from './gated-mlp-check.js';
import { swiglu } from './index.js';

// Tiles are of 128 or 256 rows and of 128 or 256 hidden columns. Rows of 33 or 20 numbers begin anywhere: there is no kernel
// for them.
for (const sizes of [
  [1, 8, 8, 8],
  [37, 24, 40, 16],
  [129, 136, 264, 72],
  [300, 72, 1032, 200],
  [65, 33, 20, 12],
] as const) {
  testOnGpu(`gated mlp, ${sizes.join(' x ')}`, (device) => checkOpOnGpu(device, gatedMlpCheck(sizes)));
}

const [rows, numIn, hidden] = [200, 64, 136];

type Weights = Readonly<Record<'gate' | 'up' | 'down', Tensor>>;

/** Parameters in one tensor, `gap` elements between them, whose f32 gradients begin at 1. */
function parametersOf(device: Device, gap: number, stale: readonly boolean[]) {
  const step = hidden * numIn + gap;
  const values = fromNumbers(device, randomNormal(3 * step, 5, 0.1), [3 * step], 'bf16');
  const gradients = fromArray(device, new Float64Array(3 * step).fill(1), [3 * step]);
  const place = (which: number, shape: readonly number[]) => {
    const parameter = values.view(shape, which * step);
    parameter.requiresGrad = true;
    parameter.gradient = gradients.view(shape, which * step);
    parameter.isGradientStale = stale[which]!;
    return parameter;
  };
  const weights: Weights = {
    gate: place(0, [hidden, numIn]),
    up: place(1, [hidden, numIn]),
    down: place(2, [numIn, hidden]),
  };
  return { weights, gradients };
}

/** What two passes leave, the second adding to the first. */
async function train(device: Device, op: typeof gatedMlp, gap: number, stale: readonly boolean[]) {
  const { weights, gradients } = parametersOf(device, gap, stale);
  const x = fromNumbers(device, randomNormal(rows * numIn, 6), [rows, numIn], 'bf16');
  x.requiresGrad = true;
  const seed = fromNumbers(device, randomNormal(rows * numIn, 7), [rows, numIn], 'bf16');
  const found: Float64Array[] = [];
  for (let pass = 0; pass < 2; pass++) {
    const { result, tape } = device.record(() => op({ x, ...weights }));
    const [dx] = tape.backward([result], [seed], [x]);
    found.push(await result.readNumbers(), await dx!.readNumbers());
  }
  return [...found, await gradients.readNumbers()];
}

const apart: typeof gatedMlp = ({ x, gate, up, down }) => {
  const project = (input: Tensor, weight: Tensor) => linear({ x: input, weight, bias: null });
  return project(swiglu({ gate: project(x, gate), up: project(x, up) }), down);
};

for (const gap of [0, 16]) {
  for (const stale of [
    [true, true, true],
    [false, false, false],
    [true, false, false],
    [false, true, true],
  ]) {
    testOnGpu(
      `parameters ${gap} elements apart, gradients stale: ${stale} ~> as of its parts`,
      async (device) => {
        const expected = await train(device, apart, gap, stale);
        const found = await train(device, gatedMlp, gap, stale);
        found.forEach((numbers, i) => {
          numbers.forEach((value, at) => {
            const exact = expected[i]![at]!;
            // The gradient of x is rounded once or twice.
            const isNear = Math.abs(value - exact) < 2 ** -6 * (1 + Math.abs(exact));
            assert.ok(isNear, `${i}, ${at}: ${value}, ${exact}`);
          });
        });
      },
    );
  }
}

testOnGpu('on Hopper, in bf16, SwiGLU is part of the products; elsewhere it is not', async (device) => {
  for (const [dtype, width] of [
    ['bf16', 64],
    ['bf16', 60],
    ['f32', 64],
  ] as const) {
    const leaf = (seed: number, shape: readonly [number, number]) => {
      const tensor = fromNumbers(device, randomNormal(shape[0] * shape[1], seed), shape, dtype);
      tensor.requiresGrad = true;
      return tensor;
    };
    const [gate, up, down] = [leaf(1, [136, width]), leaf(2, [136, width]), leaf(3, [width, 136])];
    const x = leaf(4, [10, width]);
    const end = device.compute.profile();
    const { result, tape } = device.record(() => gatedMlp({ x, gate, up, down }));
    tape.backward([result], [leaf(5, [10, width])], [x]);
    const { ops } = await end();
    const isExpected = device.gpu().capability === 90 && dtype === 'bf16' && width === 64;
    for (const name of ['linearSwigluForward', 'linearSwigluBackward'])
      assert.is(ops[name]?.count ?? 0, isExpected ? 1 : 0, `${name}, ${dtype}, ${width}`);
  }
});

testOnGpu('the product need not be kept ~> the same gradients, to the bit', async (device) => {
  const shapes = { x: [150, numIn], gate: [hidden, numIn], up: [hidden, numIn], down: [numIn, hidden] };
  const op = ({ x, gate, up, down }: Record<string, Tensor>) =>
    gatedMlp({ x: x!, gate: gate!, up: up!, down: down! });
  await checkRemade(device, { shapes, dtype: 'bf16', op });
});

for (const dtype of ['bf16', 'f32'] as const) {
  testOnGpu(`a known output takes the place of the last product, ${dtype}`, (device) =>
    checkKnownOutput(device, dtype),
  );
}

testOnGpu('without a tape gate and up are not written ~> the same output, to the bit', async (device) => {
  const { weights } = parametersOf(device, 0, [true, true, true]);
  const x = fromNumbers(device, randomNormal(rows * numIn, 6), [rows, numIn], 'bf16');
  x.requiresGrad = true;
  const { result, tape } = device.record(() => gatedMlp({ x, ...weights }));
  tape.clear();
  assert.equal(await gatedMlp({ x, ...weights }).read(), await result.read());
});

testOnGpu('no tokens leave gradients of zero', async (device) => {
  const { weights, gradients } = parametersOf(device, 0, [true, true, true]);
  const x = zeros(device, [0, numIn], 'bf16');
  const { result, tape } = device.record(() => gatedMlp({ x, ...weights }));
  tape.backward([result], [zeros(device, [0, numIn], 'bf16')]);
  assert.ok((await gradients.read()).every((value) => value === 0));
});

test.run();
