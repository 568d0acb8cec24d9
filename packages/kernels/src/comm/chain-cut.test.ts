import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { chainCut, fitsChain, peerLanes, peerSlotFloats, peerSlots } from './chain-cut.js';

const header = (name: string) =>
  readFileSync(fileURLToPath(new URL(`../../src/comm/peer/${name}`, import.meta.url)), 'utf8');

test("cut ~> the kernel's own numbers, as its headers have them", () => {
  const chain = header('chain.h');
  const numberOf = (name: string) => Number(new RegExp(`${name} = (\\d+)`).exec(chain)?.[1]);
  assert.is(numberOf('longscanPeerLanes'), peerLanes);
  assert.is(numberOf('longscanPeerSlots'), peerSlots);
  assert.is(numberOf('longscanPeerSlotFloats'), peerSlotFloats);
  const cut = header('chain_cut.h');
  for (const rule of [
    'worthALane = longscanPeerSlotFloats / 2, large = 64 * longscanPeerSlotFloats;',
    'takesLong = kind == TransitionKind::dense || floats > large;',
    'most = takesLong ? longscanPeerLanes : longscanPeerLanes / 2;',
    'rowsPerBlock(longscanPeerSlotFloats / rowLength)',
  ])
    assert.ok(cut.includes(rule), rule);
});

/** As chain.cu goes through the rows of its lanes. */
function blocksOfLongestLane(numRows: number, lanes: number, rowLength: number): number {
  let longest = 0;
  for (let lane = 0; lane < lanes; lane++) {
    const begin = Math.floor((numRows * lane) / lanes);
    const end = Math.floor((numRows * (lane + 1)) / lanes);
    let count = 0;
    for (let row = begin; row < end; row += Math.floor(peerSlotFloats / rowLength)) count++;
    longest = Math.max(longest, count);
  }
  return longest;
}

test('cut ~> lanes by size and kind, and as many blocks as the longest lane has', () => {
  for (const [numRows, rowLength, isDense, lanes, blocksPerLane] of [
    [1, 4, false, 1, 1],
    [128, 128, false, 4, 1],
    [16 * 128, 128, false, 16, 2],
    [16 * 128, 128, true, 32, 1],
    [64 * 128, 128, false, 32, 4],
    [256 * 128, 128, false, 32, 16],
    [3, 8192, false, 3, 1],
    [50, 5000, false, 16, 4],
  ] as const) {
    const cut = chainCut({ numRows, rowLength, isDense });
    const rowsPerBlock = Math.floor(peerSlotFloats / rowLength);
    assert.equal(cut, { lanes, rowsPerBlock, blocksPerLane }, `${numRows} rows of ${rowLength}`);
    assert.is(blocksOfLongestLane(numRows, lanes, rowLength), blocksPerLane);
  }
});

test('cut ~> a block has whole rows, so that longer ones are no chain', () => {
  assert.ok(fitsChain({ rowLength: peerSlotFloats }));
  assert.not.ok(fitsChain({ rowLength: peerSlotFloats + 1 }));
});

test.run();
