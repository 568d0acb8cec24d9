import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fromArray } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { chunkStarts, documentPositions } from './index.js';
import { documentPositionsReference } from './reference.js';

for (const T of [41, 1024, 5000]) {
  testOnGpu(`document-positions ~> rows of ${T}, by row, over resets`, async (device) => {
    const B = 3;
    const resets = new Int32Array(B * T);
    for (const at of [0, 5, 6, 40, T - 1, T + 7, 2 * T + 40]) resets[at] = 1;
    const before = [9, 100, 1_000_000];
    const options = {
      resets: fromArray(device, resets, [B, T], 'i32'),
      before: fromArray(device, before, [B], 'i32'),
    };
    const positions = documentPositions(device, [B, T], options);
    const found = await positions.read();
    assert.equal(found, documentPositionsReference(T, before, resets));
    const starts = await chunkStarts(positions, 3).read();
    assert.equal(
      starts,
      Int32Array.from(found, (position) => Number(position % 3 === 0)),
    );
  });
}

testOnGpu('document-positions ~> one document, from a number', async (device) => {
  const found = await documentPositions(device, [2, 3], { resets: null, before: 7 }).read();
  assert.equal(found, Int32Array.from([7, 8, 9, 7, 8, 9]));
});

test.run();
