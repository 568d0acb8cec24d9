import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { evenPieces } from './mirror.js';
import { type SliceRange, slicesOf } from './slice-group.js';

/** Keys that the queries of some pieces see. */
function numPairs(queries: readonly SliceRange[], keys: readonly SliceRange[]): number {
  const tokens = (pieces: readonly SliceRange[]) =>
    pieces.flatMap(({ start, length }) => Array.from({ length }, (_, i) => start + i));
  const positions = tokens(keys);
  return tokens(queries).reduce((sum, query) => sum + positions.filter((key) => key <= query).length, 0);
}

test('every rank has as much to do, with all keys and with those of any one rank', () => {
  for (const numRanks of [1, 2, 3, 4, 7, 8]) {
    const slices = slicesOf(new Array<number>(numRanks).fill(16));
    const pieces = slices.map((_, rank) => evenPieces(slices, rank));
    const all = pieces.map((queries) => numPairs(queries, slices));
    assert.ok(Math.max(...all) - Math.min(...all) === 0, `${numRanks} ranks: ${all}`);
    for (const [owner, keys] of pieces.entries()) {
      const others = pieces.filter((_, rank) => rank !== owner).map((queries) => numPairs(queries, keys));
      assert.ok(
        others.every((pairs) => pairs === 16 * 8),
        `${numRanks} ranks, block ${owner}: ${others}`,
      );
    }
  }
});

test('every token is attended once, whatever the slices', () => {
  const slices = slicesOf([5, 1, 8, 4, 3]);
  const tokens = slices
    .flatMap((_, rank) => evenPieces(slices, rank))
    .flatMap(({ start, length }) => Array.from({ length }, (_, i) => start + i))
    .sort((a, b) => a - b);
  assert.equal(
    tokens,
    Array.from({ length: 21 }, (_, i) => i),
  );
});

test.run();
