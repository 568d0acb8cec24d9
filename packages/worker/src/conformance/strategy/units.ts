import { withUnits } from '../../state/segment.js';
import type { Strategy } from '../../strategy.js';
import { type Check, demand } from '../check.js';
import { withRanks } from '../rank-set.js';
import { link } from './scan.js';
import {
  describe,
  type HostSegment,
  hostSegments,
  type ScanCase,
  type ScannedKind,
  segmentBytes,
  upload,
} from './scan-case.js';

const numUnits = 8;
const kinds: readonly ScannedKind[] = ['identity', 'scalar', 'diagonal', 'dense', 'log-max'];

/** What a strategy must do that says it keeps units apart: the same bits for every number of ranks. */
export function unitChecks(strategy: Strategy): Check[] {
  if (!strategy.keepsUnits) return [];
  return kinds.map((kind) => ({
    name: `folds states unit by unit, the same bits on 2, 4 and 8 ranks: ${kind}`,
    run: () => checkUnits(strategy, kind),
  }));
}

async function checkUnits(strategy: Strategy, kind: ScannedKind): Promise<void> {
  for (const direction of ['forward', 'reverse'] as const) {
    for (const starts of [null, [3]]) {
      const shape = [2, 2, 5, 4] as const;
      const scan: ScanCase = {
        ...{
          numRanks: numUnits,
          ranksPerNode: numUnits,
          kind,
          direction,
          dtype: 'f32',
          blocks: 3,
          shape,
          starts,
          seed: 1,
        },
      };
      // Numbers whose sums round, so that another order of adding shows.
      const segments = hostSegments(scan).map((segment, unit) => ({
        ...segment,
        state: segment.state.map((value) => value * Math.sqrt(2 + unit)),
      }));
      const byUnit = await enteringStates(strategy, scan, segments, numUnits);
      for (const numRanks of [2, 4]) {
        const found = await enteringStates(strategy, scan, segments, numRanks);
        found.forEach((state, rank) => {
          const count = numUnits / numRanks;
          const expected = byUnit[direction === 'forward' ? rank * count : (rank + 1) * count - 1]!;
          const isSame = (value: number, i: number) => Object.is(value, expected[i]);
          const where = `rank ${rank} of ${numRanks}: ${describe(scan)}`;
          demand(state.length === expected.length && state.every(isSame), `${where}: other bits`);
        });
      }
    }
  }
}

/** The state that enters each rank, as numbers (none where the scan begins); checks the bytes sent too. */
async function enteringStates(
  strategy: Strategy,
  scan: ScanCase,
  segments: readonly HostSegment[],
  numRanks: number,
): Promise<Float64Array[]> {
  const units = numUnits / numRanks;
  return withRanks(numRanks, async (ranks) => {
    const entered = ranks.communicators.map((communicator, rank) => {
      const device = ranks.devices[rank]!;
      return device.scope(() => {
        const own = segments
          .slice(rank * units, (rank + 1) * units)
          .map((segment) => upload(device, scan, segment));
        if (scan.direction === 'reverse') own.reverse();
        return strategy.start(withUnits(own), communicator, scan.direction, { blocks: scan.blocks }).wait();
      });
    });
    const states = await Promise.all(entered.map((state) => state?.readNumbers() ?? new Float64Array()));
    await ranks.sync();
    const { bytesSentByRank } = strategy.cost(numRanks, { ...segmentBytes(scan), units }, link);
    const expected = scan.direction === 'forward' ? bytesSentByRank : [...bytesSentByRank].reverse();
    ranks.communicators.forEach((communicator, rank) => {
      const sent = communicator.bytesSent();
      demand(
        sent === expected[rank],
        `rank ${rank} of ${numRanks} sent ${sent} bytes, its cost says ${expected[rank]}`,
      );
    });
    return states;
  });
}
