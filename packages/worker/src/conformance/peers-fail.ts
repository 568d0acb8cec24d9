import { type Communicator, LongscanError } from '@longscan/kernels';
import { demand } from './check.js';

/** What each of them has enqueued ends with an error that names a peer. `when`: while what happens. */
export async function expectPeersFail(
  communicators: readonly Communicator[],
  numRanks: number,
  when: string,
): Promise<void> {
  for (const { rank, stream } of communicators) {
    const error = await stream.device.compute.sync().then(
      () => null,
      (reason: unknown) => reason,
    );
    const where = `rank ${rank} of ${numRanks}, ${when}`;
    demand(error instanceof LongscanError, `${where}: ended with ${error}, expected a LongscanError`);
    demand(error.code === 'E-COMM-PEER', `${where}: failed with ${error.code}, expected E-COMM-PEER`);
    demand(/rank \d+ is gone/.test(error.message), `${where}: names no peer: ${error.message}`);
  }
}
