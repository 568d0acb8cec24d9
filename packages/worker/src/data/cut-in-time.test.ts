import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Batch } from './batch.js';
import { cutInTime } from './cut-in-time.js';

const rows = (...values: number[][]) => Int32Array.from(values.flat());

const batch: Batch = {
  numSequences: 2,
  sliceLength: 5,
  tokens: rows([1, 2, 3, 4, 5], [11, 12, 13, 14, 15]),
  labels: rows([2, 3, 4, 5, 6], [12, -1, 14, 15, 16]),
  numValidTokens: 9,
  resets: rows([0, 0, 0, 0, 0], [0, 0, 1, 0, 1]),
  openTokens: rows([7, 3]),
};

test('cut in time ~> slices of every sequence, the last ones shorter', () => {
  const slices = cutInTime(batch, 2);
  assert.equal(
    slices.map(({ sliceLength, tokens }) => [sliceLength, tokens]),
    [
      [2, rows([1, 2], [11, 12])],
      [2, rows([3, 4], [13, 14])],
      [1, rows([5], [15])],
    ],
  );
  assert.equal(slices[1]!.labels, rows([4, 5], [14, 15]));
  assert.equal(slices[2]!.resets, rows([0], [1]));
  assert.ok(slices.every(({ numSequences, numValidTokens }) => numSequences === 2 && numValidTokens === 9));
});

test('cut in time ~> how far back the open document began, in earlier slices and before the first', () => {
  assert.equal(
    cutInTime(batch, 2).map(({ openTokens }) => openTokens),
    [rows([7], [3]), rows([9], [5]), rows([11], [2])],
  );
  const single = { ...batch, resets: null, openTokens: null };
  assert.equal(
    cutInTime(single, 3).map(({ openTokens, resets }) => [openTokens, resets]),
    [
      [rows([0], [0]), null],
      [rows([3], [3]), null],
    ],
  );
});

test('cut in time ~> a slice as long as the sequence, or longer, is all of it', () => {
  for (const length of [5, 100]) assert.equal(cutInTime(batch, length), [batch]);
});

test.run();
