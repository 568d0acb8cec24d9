import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openCpuDevice } from '../../device.js';
import { fromArray } from '../../tensor.js';
import { chunkStarts, documentPositions } from './index.js';
import { documentPositionsReference } from './reference.js';

const [B, T] = [3, 41];
const resets = new Int32Array(B * T);
for (const at of [0, 5, 6, 40, T + 7, 2 * T + 40]) resets[at] = 1;
const before = [9, 100, 1_000_000];

test('document-positions: by row, over resets', async () => {
  const device = openCpuDevice({ threads: 2, poison: true });
  const options = {
    resets: fromArray(device, resets, [B, T], 'i32'),
    before: fromArray(device, before, [B], 'i32'),
  };
  const found = await documentPositions(device, [B, T], options).read();
  device.close();
  assert.equal(found, documentPositionsReference(T, before, resets));
  assert.equal([...found.slice(0, 7)], [0, 1, 2, 3, 4, 0, 0]);
  assert.is(found[T], 100);
});

test('document-positions: one document, from a number', async () => {
  const device = openCpuDevice({ poison: true });
  const found = await documentPositions(device, [2, 3], { resets: null, before: 7 }).read();
  device.close();
  assert.equal(found, Int32Array.from([7, 8, 9, 7, 8, 9]));
});

test('chunk-starts: where a position is a multiple of the chunk', async () => {
  const device = openCpuDevice({ poison: true });
  const positions = fromArray(device, [4, 5, 6, 0, 1, 2, 3, 9], [2, 4], 'i32');
  const found = await chunkStarts(positions, 3).read();
  device.close();
  assert.equal(found, Int32Array.from([0, 0, 1, 1, 0, 0, 1, 1]));
});

test('document-positions ~> refuses shapes that do not fit', () => {
  const device = openCpuDevice();
  const before = fromArray(device, [1], [1], 'i32');
  assert.throws(() => documentPositions(device, [2, 3], { resets: null, before }), /before has shape \[1\]/);
  assert.throws(
    () => documentPositions(device, [1, 3], { resets: null, before: 2 ** 31 - 1 }),
    /do not fit i32/,
  );
  device.close();
});

test.run();
