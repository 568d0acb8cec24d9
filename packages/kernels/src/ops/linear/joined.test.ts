import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Device, openCpuDevice } from '../../device.js';
import { fromArray, type Tensor } from '../../tensor.js';
import { failureOf, withFakeGpu } from '../../testing/fake-gpu.js';
import { randomNormal } from '../../testing/index.js';
import { linearJoined } from './joined.js';

// Over a cuBLASLt that multiplies by the definition. On a GPU: swiglu/projected.cuda.test.ts.

const [rows, numIn] = [5, 3];
const x = randomNormal(rows * numIn, 1);
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

/** Of weights below each other: the first row of each, and behind them of the one that would follow. */
function firstRowsOf(heights: readonly number[]): number[] {
  const firstRows = [0];
  for (const height of heights) firstRows.push(firstRows.at(-1)! + height);
  return firstRows;
}

interface Parameters {
  /** Rows of each. */
  readonly heights: readonly number[];
  /** Elements between one and the next. */
  readonly gap: number;
  readonly stale: readonly boolean[];
}

/** Parameters whose gradients are 1 before and are written over where they are stale. */
async function check(device: Device, { heights, gap, stale }: Parameters): Promise<void> {
  const firstRows = firstRowsOf(heights);
  const columns = firstRows.at(-1)!;
  const begins = heights.map((_, which) => firstRows[which]! * numIn + which * gap);
  const numbers = randomNormal(columns * numIn + heights.length * gap, 3);
  const values = fromArray(device, numbers, [numbers.length]);
  const gradients = fromArray(device, new Float64Array(numbers.length).fill(1), [numbers.length]);
  const weights = heights.map((height, which) => {
    const parameter = values.view([height, numIn], begins[which]!);
    parameter.requiresGrad = true;
    parameter.gradient = gradients.view([height, numIn], begins[which]!);
    parameter.isGradientStale = stale[which]!;
    return parameter;
  });
  const input = fromArray(device, x, [rows, numIn]);
  input.requiresGrad = true;
  const { result, tape } = device.record(() => linearJoined(inputsOf(input, weights)));
  const seed = randomNormal(rows * columns, 2);
  const [dx] = tape.backward([result], [fromArray(device, seed, [rows, columns])], [input]);

  const placeOf = (c: number, k: number) => {
    const which = firstRows.findLastIndex((first) => first <= c);
    return begins[which]! + (c - firstRows[which]!) * numIn + k;
  };
  expectNear(
    'output',
    await result.readNumbers(),
    sums(rows, columns, numIn, (row, c, k) => x[row * numIn + k]! * numbers[placeOf(c, k)]!),
  );
  expectNear(
    'gradient of x',
    await dx!.readNumbers(),
    sums(rows, numIn, columns, (row, k, c) => seed[row * columns + c]! * numbers[placeOf(c, k)]!),
  );
  const dw = sums(columns, numIn, rows, (c, k, row) => seed[row * columns + c]! * x[row * numIn + k]!);
  const expected = new Float64Array(numbers.length).fill(1);
  stale.forEach((isStale, which) => {
    const size = heights[which]! * numIn;
    for (let i = 0; i < size; i++) {
      expected[begins[which]! + i] = dw[firstRows[which]! * numIn + i]! + (isStale ? 0 : 1);
    }
  });
  expectNear('gradients of the weights', await gradients.readNumbers(), expected);
  assert.ok(weights.every(({ isGradientStale }) => !isGradientStale));
}

const twoOrThree = [
  [4, 4],
  [8, 40],
  [4, 4, 4],
  // As of heads that share keys and values, and such that nothing divides anything.
  [8, 4, 4],
  [24, 8, 40],
];

for (const heights of twoOrThree) {
  const states =
    heights.length === 2
      ? [
          [true, true],
          [false, false],
          [true, false],
          [false, true],
        ]
      : [
          [true, true, true],
          [false, true, false],
        ];
  for (const stale of states) {
    for (const gap of [0, 4]) {
      const what = `${heights.join(' | ')} rows, ${gap} elements apart, stale: ${stale.join(', ')}`;
      test(`linear joined ~> ${what}`, () =>
        withFakeGpu({ kernels: true }, (device) => check(device, { heights, gap, stale })));
    }
  }
}

for (const heights of twoOrThree) {
  test(`linear joined ~> weights of ${heights.join(' | ')} rows that are no parameters get gradients of their own`, () =>
    withFakeGpu({ kernels: true }, async (device) => {
      const leaf = (values: Float64Array, shape: readonly number[]) => {
        const tensor = fromArray(device, values, shape);
        tensor.requiresGrad = true;
        return tensor;
      };
      const firstRows = firstRowsOf(heights);
      const columns = firstRows.at(-1)!;
      const input = leaf(x, [rows, numIn]);
      const weights = heights.map((height, i) => leaf(randomNormal(height * numIn, 4 + i), [height, numIn]));
      const { result, tape } = device.record(() => linearJoined(inputsOf(input, weights)));
      const seed = randomNormal(rows * columns, 2);
      const found = tape.backward([result], [fromArray(device, seed, [rows, columns])], weights);
      for (const [which, gradient] of found.entries()) {
        const at = (row: number, c: number) => seed[row * columns + firstRows[which]! + c]!;
        expectNear(
          `gradient ${names[which]}`,
          await gradient!.readNumbers(),
          sums(heights[which]!, numIn, rows, (c, k, row) => at(row, c) * x[row * numIn + k]!),
        );
      }
    }));
}

test('linear joined ~> a CPU is refused', async () => {
  const device = openCpuDevice();
  const weight = fromArray(device, randomNormal(4 * numIn, 4), [4, numIn]);
  const input = fromArray(device, x, [rows, numIn]);
  const { message } = failureOf(() => linearJoined(inputsOf(input, [weight, weight])));
  assert.match(message, /linearJoinedForward.*only GPUs multiply by several weights at once/);
  await device.close();
});

test.run();
