import type { Communicator } from '@longscan/kernels';
import type { Direction, Strategy } from '../../strategy.js';
import type { Check } from '../check.js';
import { expectPeersFail } from '../peers-fail.js';
import { withRanks } from '../rank-set.js';
import { hostSegments, type ScanCase, upload } from './scan-case.js';

const numRanks = 4;

/** A rank that goes away never leaves the others waiting. */
export function failureChecks(strategy: Strategy): Check[] {
  return (['forward', 'reverse'] as const).map((direction) => ({
    name: `a rank that aborts makes every other fail, naming a peer: ${direction}`,
    run: async () => {
      for (let aborting = 0; aborting < numRanks; aborting++) await checkAbort(strategy, direction, aborting);
    },
  }));
}

function checkAbort(strategy: Strategy, direction: Direction, aborting: number): Promise<void> {
  return withRanks(numRanks, async (ranks) => {
    const others = ranks.communicators.filter(({ rank }) => rank !== aborting);
    for (const communicator of others) startBeforeBarrier(strategy, communicator, direction);
    ranks.communicators[aborting]!.abort('a check');
    await expectPeersFail(others, numRanks, `while rank ${aborting} aborts, ${direction}`);
  });
}

/** One rank's part of a scan; whoever is done with it without the missing rank notices at the barrier behind it. */
export function startBeforeBarrier(strategy: Strategy, group: Communicator, direction: Direction): void {
  const shape = [1, 1, 4, 2] as const;
  const scan: ScanCase = {
    ...{ numRanks, ranksPerNode: 2, kind: 'scalar', direction, dtype: 'f32', blocks: 2, shape },
    ...{ starts: null, seed: 9 },
  };
  const { device } = group.stream;
  const local = upload(device, scan, hostSegments(scan)[group.rank]!);
  strategy.start(local, group, direction, scan).wait();
  group.barrier();
  device.compute.wait(group.stream.record());
}
