import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Device, openCpuDevice } from '../../device.js';
import { fromArray, type Tensor } from '../../tensor.js';
import { failureOf, withFakeGpu } from '../../testing/fake-gpu.js';
import { randomNormal } from '../../testing/index.js';
import { linearJoined } from './joined.js';

// Over a cuBLASLt that multiplies by the definition. On a GPU: swiglu/projected.cuda.test.ts.

const [rows, numIn, numOut] = [5, 3, 4];
const size = numOut * numIn;
const x = randomNormal(rows * numIn, 1);
const seed = randomNormal(rows * 2 * numOut, 2);

/** Sums over `depth` of what `term` gives for each place of a matrix. */
const sums = (
  numRows: number,
  columns: number,
  depth: number,
  term: (row: number, column: number, k: number) => number,
) =>
  Float64Array.from({ length: numRows * columns }, (_, i) => {
    let sum = 0;
    for (let k = 0; k < depth; k++) sum += term(Math.floor(i / columns), i % columns, k);
    return sum;
  });

function expectNear(what: string, found: Float64Array, expected: Float64Array): void {
  assert.is(found.length, expected.length, what);
  found.forEach((value, i) => {
    assert.ok(Math.abs(value - expected[i]!) < 1e-5, `${what}, ${i}: ${value}, expected ${expected[i]}`);
  });
}

/** Two parameters `gap` elements apart, whose gradients are 1 before and are written over where they are stale. */
async function check(device: Device, gap: number, stale: readonly [boolean, boolean]): Promise<void> {
  const weights = randomNormal(2 * size + gap, 3);
  const values = fromArray(device, weights, [weights.length]);
  const gradients = fromArray(device, new Float64Array(weights.length).fill(1), [weights.length]);
  const [first, second] = stale.map((isStale, which) => {
    const begin = which * (size + gap);
    const parameter = values.view([numOut, numIn], begin);
    parameter.requiresGrad = true;
    parameter.gradient = gradients.view([numOut, numIn], begin);
    parameter.isGradientStale = isStale;
    return parameter;
  }) as [Tensor, Tensor];
  const input = fromArray(device, x, [rows, numIn]);
  input.requiresGrad = true;
  const { result, tape } = device.record(() => linearJoined({ x: input, first, second, third: null }));
  const [dx] = tape.backward([result], [fromArray(device, seed, [rows, 2 * numOut])], [input]);

  // Row c of [first; second].
  const weightAt = (c: number, k: number) => weights[c * numIn + k + (c < numOut ? 0 : gap)]!;
  expectNear(
    'output',
    await result.readNumbers(),
    sums(rows, 2 * numOut, numIn, (row, c, k) => x[row * numIn + k]! * weightAt(c, k)),
  );
  expectNear(
    'gradient of x',
    await dx!.readNumbers(),
    sums(rows, numIn, 2 * numOut, (row, k, c) => seed[row * 2 * numOut + c]! * weightAt(c, k)),
  );
  const dw = sums(2 * numOut, numIn, rows, (c, k, row) => seed[row * 2 * numOut + c]! * x[row * numIn + k]!);
  const expected = new Float64Array(weights.length).fill(1);
  stale.forEach((isStale, which) => {
    for (let i = 0; i < size; i++) {
      expected[which * (size + gap) + i] = dw[which * size + i]! + (isStale ? 0 : 1);
    }
  });
  expectNear('gradients of the weights', await gradients.readNumbers(), expected);
  assert.equal([first.isGradientStale, second.isGradientStale], [false, false]);
}

for (const gap of [0, 4]) {
  for (const stale of [
    [true, true],
    [false, false],
    [true, false],
    [false, true],
  ] as const) {
    test(`linear joined ~> weights ${gap} elements apart, stale: ${stale.join(', ')}`, () =>
      withFakeGpu({ kernels: true }, (device) => check(device, gap, stale)));
  }
}

test('linear joined ~> weights that are no parameters get gradients of their own', () =>
  withFakeGpu({ kernels: true }, async (device) => {
    const leaf = (values: Float64Array, shape: readonly number[]) => {
      const tensor = fromArray(device, values, shape);
      tensor.requiresGrad = true;
      return tensor;
    };
    const [input, first, second] = [
      leaf(x, [rows, numIn]),
      leaf(randomNormal(size, 4), [numOut, numIn]),
      leaf(randomNormal(size, 5), [numOut, numIn]),
    ];
    const { result, tape } = device.record(() =>
      linearJoined({ x: input!, first: first!, second: second!, third: null }),
    );
    const seeds = [fromArray(device, seed, [rows, 2 * numOut])];
    const found = tape.backward([result], seeds, [first!, second!]);
    for (const which of [0, 1]) {
      const at = (row: number, c: number) => seed[row * 2 * numOut + which * numOut + c]!;
      expectNear(
        `gradient ${which}`,
        await found[which]!.readNumbers(),
        sums(numOut, numIn, rows, (c, k, row) => at(row, c) * x[row * numIn + k]!),
      );
    }
  }));

test('linear joined ~> a CPU is refused', async () => {
  const device = openCpuDevice();
  const weight = fromArray(device, randomNormal(size, 4), [numOut, numIn]);
  const input = fromArray(device, x, [rows, numIn]);
  const { message } = failureOf(() => linearJoined({ x: input, first: weight, second: weight, third: null }));
  assert.match(message, /linearJoinedForward.*only GPUs multiply by several weights at once/);
  await device.close();
});

test.run();
