import { randomNormal } from '../../testing/index.js';

// What the tests of this op, on CPU and GPU, are made of.

type Shape = readonly number[];

const sizeOf = (shape: Shape): number => shape.reduce((product, dim) => product * dim, 1);
const tensor = (shape: Shape, seed: number) => ({ values: randomNormal(sizeOf(shape), seed), shape });

/** a, b, whose dims are those of a from `axis` on, and the elements that each number of b meets in a row. */
export function alongProblem(shape: Shape, other: Shape, axis: number) {
  const start = axis < 0 ? shape.length + axis : axis;
  return {
    inputs: { a: tensor(shape, 1), b: tensor(other, 2) },
    inner: sizeOf(shape.slice(start + other.length)),
  };
}

export const subInputs = { a: tensor([17, 59], 1), b: tensor([17, 59], 2) };

/** x of this shape, and one with `times` as many heads. */
export function headsProblem(shape: Shape, times: number) {
  const repeats = [...shape.slice(0, -2), shape.at(-2)! * times, shape.at(-1)!];
  return { repeats, inputs: { x: tensor(shape, 1) }, repeated: { x: tensor(repeats, 1) } };
}
