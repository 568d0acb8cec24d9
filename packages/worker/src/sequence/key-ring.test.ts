import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { KeyRing } from './key-ring.js';
import { slicesOf } from './slice-group.js';

/** Ranks that see each rank's block, in order. */
function readersOf(lengths: readonly number[], window: number | null, chunk: number | null = null) {
  const ring = new KeyRing(slicesOf(lengths), { window, chunk });
  return lengths.map((_, owner) => {
    const holders = Array.from({ length: ring.numHops + 2 }, (_, hop) => ring.holderAt(owner, hop));
    for (const [hop, rank] of holders.entries()) if (rank !== null) assert.is(ring.ownerAt(rank, hop), owner);
    return holders.filter((rank) => rank !== null);
  });
}

test('with a window a block goes as far as its last token is seen, and no further', () => {
  const even = [10, 10, 10, 10];
  assert.equal(readersOf(even, 1), [[0], [1], [2], [3]]);
  assert.equal(readersOf(even, 2), [[0, 1], [1, 2], [2, 3], [3]]);
  assert.equal(readersOf(even, 11), [[0, 1], [1, 2], [2, 3], [3]]);
  assert.equal(readersOf(even, 12), [[0, 1, 2], [1, 2, 3], [2, 3], [3]]);
  assert.equal(readersOf([5, 1, 8, 4], 4), [[0, 1, 2], [1, 2], [2, 3], [3]]);
});

test('without one it goes once around, and chunks to every later rank', () => {
  assert.equal(readersOf([4, 4, 4], null), [
    [0, 1, 2],
    [1, 2, 0],
    [2, 0, 1],
  ]);
  assert.equal(readersOf([4, 4, 4], null, 4), [[0, 1, 2], [1, 2], [2]]);
  assert.equal(readersOf([4], null), [[0]]);
});

test.run();
