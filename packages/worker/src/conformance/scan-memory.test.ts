import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Strategy } from '../strategy.js';
import { withRanks } from './rank-set.js';
import { hostSegments, type ScanCase, segmentBytes, upload } from './strategy/scan-case.js';
import { importUnits } from './unit-files.js';

const strategies = await importUnits<Strategy>(new URL('../sp/', import.meta.url));
/** Sizes that the allocator does not round. */
const shape = [1, 4, 64, 64] as const;
const kinds = ['diagonal', 'dense'] as const;

/** Bytes that a scan adds to what a rank holds, at their highest, on the rank where that is most. */
function peakBytes(strategy: Strategy, scan: ScanCase): Promise<number> {
  return withRanks(scan.numRanks, async (ranks) => {
    const segments = hostSegments(scan);
    const peaks = ranks.communicators.map((communicator, rank) => {
      const device = ranks.devices[rank]!;
      return device.scope(() => {
        const local = upload(device, scan, segments[rank]!);
        const before = device.memory({ resetPeak: true }).inUseBytes;
        strategy.start(local, communicator, scan.direction, scan).wait();
        return device.memory().peakBytes - before;
      });
    });
    await ranks.sync();
    return Math.max(...peaks);
  });
}

/** By number of ranks, for one kind of M. */
async function peaksOf(
  name: string,
  kind: (typeof kinds)[number],
  { numsOfRanks = [1, 2, 4, 8], ranksPerNode }: { numsOfRanks?: number[]; ranksPerNode?: number } = {},
): Promise<Map<number, number>> {
  const strategy = strategies.get(name)!;
  const peaks = new Map<number, number>();
  for (const numRanks of numsOfRanks) {
    const ofDirections = (['forward', 'reverse'] as const).map((direction) => {
      const scan: ScanCase = {
        ...{ numRanks, ranksPerNode: ranksPerNode ?? numRanks, kind, direction, dtype: 'f32' },
        ...{ blocks: 4, shape, starts: null, seed: 3 },
      };
      return peakBytes(strategy, scan);
    });
    peaks.set(numRanks, Math.max(...(await Promise.all(ofDirections))));
  }
  return peaks;
}

/** V_S, and V_M of a kind. */
function sizesOf(kind: (typeof kinds)[number]): { state: number; transition: number } {
  const sizes = { numRanks: 1, ranksPerNode: 1, direction: 'forward', blocks: 1, seed: 1 } as const;
  return segmentBytes({ ...sizes, kind, dtype: 'f32', shape, starts: null });
}

for (const kind of kinds) {
  const { state, transition } = sizesOf(kind);
  /** Largest block that the allocator gives for so many bytes. */
  const rounded = (bytes: number) => bytes * 1.125;

  for (const name of ['ring', 'all-scan']) {
    test(`${name} ~> two states, however many ranks: ${kind}`, async () => {
      const peaks = await peaksOf(name, kind);
      assert.equal([...peaks.values()], [0, state, 2 * state, 2 * state]);
    });
  }

  test(`all-gather ~> every rank's segment, and the state that they make: ${kind}`, async () => {
    for (const [numRanks, peak] of await peaksOf('all-gather', kind)) {
      const expected = numRanks * (state + transition) + (numRanks > 1 ? state : 0);
      assert.ok(peak >= expected && peak <= rounded(expected), `${numRanks} ranks: ${peak}, not ${expected}`);
    }
  });

  test(`doubling-scan ~> as much more for every doubling of the ranks: ${kind}`, async () => {
    const peaks = await peaksOf('doubling-scan', kind);
    const perRound = rounded(4 * (state + transition));
    for (const [numRanks, peak] of peaks) {
      assert.ok(peak <= Math.log2(numRanks) * perRound, `${numRanks} ranks: ${peak}`);
    }
  });

  test(`two-level ~> the segments of a node, however many nodes: ${kind}`, async () => {
    // From three nodes on there is one that both takes and gives.
    const peaks = await peaksOf('two-level', kind, { numsOfRanks: [6, 8, 12], ranksPerNode: 2 });
    const [peak, ...others] = [...peaks.values()] as [number, ...number[]];
    assert.equal(others, [peak, peak]);
    // The other rank's segment and this one's as sent, the node's composed, what enters the node, leaves it, and this rank.
    const expected = 3 * (state + transition) + 3 * state;
    assert.ok(peak >= 0.8 * expected && peak <= rounded(expected), `${peak} bytes, not ${expected}`);
  });
}

test.run();
