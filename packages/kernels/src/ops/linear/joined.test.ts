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
const seedFor = (count: number) => randomNormal(rows * count * numOut, 2);
const names = ['first', 'second', 'third'] as const;

/** The inputs of the op: x and two or three weights. */
function inputsOf(input: Tensor, weights: readonly Tensor[]) {
  const [first, second, third = null] = weights as readonly [Tensor, Tensor, Tensor?];
  return { x: input, first, second, third };
}

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

/** Parameters `gap` elements apart, whose gradients are 1 before and are written over where they are stale. */
async function check(device: Device, gap: number, stale: readonly boolean[]): Promise<void> {
  const count = stale.length;
  const [step, columns] = [size + gap, count * numOut];
  const numbers = randomNormal(count * step, 3);
  const values = fromArray(device, numbers, [numbers.length]);
  const gradients = fromArray(device, new Float64Array(numbers.length).fill(1), [numbers.length]);
  const weights = stale.map((isStale, which) => {
    const parameter = values.view([numOut, numIn], which * step);
    parameter.requiresGrad = true;
    parameter.gradient = gradients.view([numOut, numIn], which * step);
    parameter.isGradientStale = isStale;
    return parameter;
  });
  const input = fromArray(device, x, [rows, numIn]);
  input.requiresGrad = true;
  const { result, tape } = device.record(() => linearJoined(inputsOf(input, weights)));
  const seed = seedFor(count);
  const [dx] = tape.backward([result], [fromArray(device, seed, [rows, columns])], [input]);

  // Row c of the weights, one below the other.
  const weightAt = (c: number, k: number) =>
    numbers[Math.floor(c / numOut) * step + (c % numOut) * numIn + k]!;
  expectNear(
    'output',
    await result.readNumbers(),
    sums(rows, columns, numIn, (row, c, k) => x[row * numIn + k]! * weightAt(c, k)),
  );
  expectNear(
    'gradient of x',
    await dx!.readNumbers(),
    sums(rows, numIn, columns, (row, k, c) => seed[row * columns + c]! * weightAt(c, k)),
  );
  const dw = sums(columns, numIn, rows, (c, k, row) => seed[row * columns + c]! * x[row * numIn + k]!);
  const expected = new Float64Array(numbers.length).fill(1);
  stale.forEach((isStale, which) => {
    for (let i = 0; i < size; i++) {
      expected[which * step + i] = dw[which * size + i]! + (isStale ? 0 : 1);
    }
  });
  expectNear('gradients of the weights', await gradients.readNumbers(), expected);
  assert.ok(weights.every(({ isGradientStale }) => !isGradientStale));
}

for (const gap of [0, 4]) {
  for (const stale of [
    [true, true],
    [false, false],
    [true, false],
    [false, true],
    [true, true, true],
    [false, true, false],
  ]) {
    test(`linear joined ~> weights ${gap} elements apart, stale: ${stale.join(', ')}`, () =>
      withFakeGpu({ kernels: true }, (device) => check(device, gap, stale)));
  }
}

for (const count of [2, 3]) {
  test(`linear joined ~> ${count} weights that are no parameters get gradients of their own`, () =>
    withFakeGpu({ kernels: true }, async (device) => {
      const leaf = (values: Float64Array, shape: readonly number[]) => {
        const tensor = fromArray(device, values, shape);
        tensor.requiresGrad = true;
        return tensor;
      };
      const input = leaf(x, [rows, numIn]);
      const weights = names.slice(0, count).map((_, i) => leaf(randomNormal(size, 4 + i), [numOut, numIn]));
      const { result, tape } = device.record(() => linearJoined(inputsOf(input, weights)));
      const seed = seedFor(count);
      const found = tape.backward([result], [fromArray(device, seed, [rows, count * numOut])], weights);
      for (const [which, gradient] of found.entries()) {
        const at = (row: number, c: number) => seed[(row * count + which) * numOut + c]!;
        expectNear(
          `gradient ${names[which]}`,
          await gradient!.readNumbers(),
          sums(numOut, numIn, rows, (c, k, row) => at(row, c) * x[row * numIn + k]!),
        );
      }
    }));
}

test('linear joined ~> a CPU is refused', async () => {
  const device = openCpuDevice();
  const weight = fromArray(device, randomNormal(size, 4), [numOut, numIn]);
  const input = fromArray(device, x, [rows, numIn]);
  const { message } = failureOf(() => linearJoined(inputsOf(input, [weight, weight])));
  assert.match(message, /linearJoinedForward.*only GPUs multiply by several weights at once/);
  await device.close();
});

test.run();
