import { type OpCheck, randomNormal } from '../../testing/index.js';
import { addAlong, mulAlong, repeatHeads, sub, sumHeads } from './index.js';
import {
  addAlongReference,
  mulAlongReference,
  repeatHeadsReference,
  sumHeadsReference,
} from './reference.js';

// What the tests of this op, on CPU and GPU, check.

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

/** [shape of a, shape of b, axis]. 37 columns: the seeds nearly cancel over rows of 33, and with them the sums. */
export const alongShapes = [
  [[1], [1], 0],
  [[63, 7], [7], -1],
  [[3, 70, 37], [37], 2],
  [[2, 65, 3, 19], [3], 2],
  [[2, 65, 3, 19], [3, 19], -2],
  [[129, 1], [129], 0],
] as const;

export function alongChecks(shape: Shape, other: Shape, axis: number): readonly OpCheck<'a' | 'b'>[] {
  const { inputs, inner } = alongProblem(shape, other, axis);
  return [
    {
      ...{ name: 'mul-along', inputs },
      op: ({ a, b }) => [mulAlong({ a, b }, axis)],
      reference: ({ a, b }) => [mulAlongReference(a, b, inner)],
    },
    {
      ...{ name: 'add-along', inputs },
      op: ({ a, b }) => [addAlong({ a, b }, axis, -0.75)],
      reference: ({ a, b }) => [addAlongReference(a, b, inner, -0.75)],
    },
  ];
}

export const subCheck: OpCheck<'a' | 'b'> = {
  name: 'sub',
  inputs: { a: tensor([17, 59], 1), b: tensor([17, 59], 2) },
  op: ({ a, b }) => [sub({ a, b })],
  reference: ({ a, b }) => [addAlongReference(a, b, 1, -1)],
};

/** x of this shape, repeated so many `times` a head, and one with as many heads back. */
export function headsChecks(shape: Shape, times: number): readonly OpCheck<'x'>[] {
  const repeats = [...shape.slice(0, -2), shape.at(-2)! * times, shape.at(-1)!];
  return [
    {
      ...{ name: 'repeat-heads', inputs: { x: tensor(shape, 1) } },
      op: ({ x }) => [repeatHeads(x, times)],
      reference: ({ x }) => [repeatHeadsReference(x, shape.at(-1)!, times)],
    },
    {
      ...{ name: 'sum-heads', inputs: { x: tensor(repeats, 1) } },
      op: ({ x }) => [sumHeads(x, times)],
      reference: ({ x }) => [sumHeadsReference(x, shape.at(-1)!, times)],
    },
  ];
}
