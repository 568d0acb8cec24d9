import { createInProcessGroup, fromArray, openCpuDevice } from '@longscan/kernels';
import { randomNormal } from '@longscan/kernels/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { treeSum } from './tree-sum.js';

function valuesOf(rank: number, size: number): Float32Array {
  return Float32Array.from(randomNormal(size, rank));
}

function add(a: Float32Array, b: Float32Array): Float32Array {
  return a.map((value, i) => value + b[i]!);
}

/** Neighbours first. */
function tree(values: readonly Float32Array[]): Float32Array {
  if (values.length === 1) return values[0]!;
  const middle = values.length / 2;
  return add(tree(values.slice(0, middle)), tree(values.slice(middle)));
}

/** What each of `ranks` of a group of 9 has after the sum. */
async function sums(ranks: readonly number[], size: number): Promise<number[][]> {
  const devices = Array.from({ length: 9 }, () => openCpuDevice({ poison: true }));
  try {
    const group = createInProcessGroup(devices, { axis: 'world' });
    const found = ranks.map((rank, i) => {
      const tensor = fromArray(devices[rank]!, valuesOf(i, size), [size]);
      devices[rank]!.scope(() => treeSum(group[rank]!, ranks, tensor));
      return tensor.read();
    });
    return (await Promise.all(found)).map((values) => [...values]);
  } finally {
    for (const device of devices) device.close();
  }
}

// Sizes that the ranks do not divide, and fewer elements than ranks.
for (const size of [1, 3, 8, 1001]) {
  for (const ranks of [[4], [1, 2], [0, 2, 4, 6], [1, 2, 3, 4, 5, 6, 7, 8]]) {
    test(`${size} elements over ranks ${ranks} ~> the balanced tree in their order, on all of them`, async () => {
      const expected = [...tree(ranks.map((_, i) => valuesOf(i, size)))];
      for (const found of await sums(ranks, size)) assert.equal(found, expected);
    });
  }
}

test('the order of the sum is told apart by these numbers', () => {
  const values = Array.from({ length: 8 }, (_, i) => valuesOf(i, 1001));
  assert.not.equal([...tree(values)], [...values.reduce(add)]);
  assert.not.equal([...tree(values)], [...tree([...values.slice(1), values[0]!])]);
});

test.run();
