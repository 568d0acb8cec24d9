import { LongscanError } from '@longscan/kernels';
import type { Strategy } from '../../strategy.js';
import { type Check, demand } from '../check.js';
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

function checkAbort(strategy: Strategy, direction: ScanCase['direction'], aborting: number): Promise<void> {
  const shape = [1, 1, 4, 2] as const;
  const kind = 'scalar';
  const scan: ScanCase = { numRanks, kind, direction, dtype: 'f32', blocks: 2, shape, starts: null, seed: 9 };
  const segments = hostSegments(scan);
  return withRanks(numRanks, async (ranks) => {
    const others = ranks.communicators.filter(({ rank }) => rank !== aborting);
    for (const communicator of others) {
      const { device } = communicator.stream;
      const local = upload(device, scan, segments[communicator.rank]!);
      strategy.start(local, communicator, direction, { blocks: 2 }).wait();
      // Whoever had its part of the scan without the missing rank notices at the next collective.
      communicator.barrier();
      device.compute.wait(communicator.stream.record());
    }
    ranks.communicators[aborting]!.abort('a check');
    for (const { rank, stream } of others) {
      const error = await stream.device.compute.sync().then(
        () => null,
        (reason: unknown) => reason,
      );
      const where = `rank ${rank} of ${numRanks}, while rank ${aborting} aborts, ${direction}`;
      demand(error instanceof LongscanError, `${where}: ended with ${error}, expected a LongscanError`);
      demand(error.code === 'E-COMM-PEER', `${where}: failed with ${error.code}, expected E-COMM-PEER`);
      demand(/rank \d+ is gone/.test(error.message), `${where}: names no peer: ${error.message}`);
    }
  });
}
