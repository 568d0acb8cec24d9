import type { Communicator, Message } from '@longscan/kernels';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import twoLevel from '../sp/two-level.js';
import { withRanks } from './rank-set.js';
import { expectFold } from './strategy/scan.js';
import { hostSegments, type ScanCase, segmentBytes, upload } from './strategy/scan-case.js';

const [numRanks, ranksPerNode] = [12, 4];
const nodeOf = (rank: number) => Math.floor(rank / ranksPerNode);

/** A communicator that tells `onSend` where each message goes. */
function watched(communicator: Communicator, onSend: (message: Message) => void): Communicator {
  return Object.assign(Object.create(communicator) as Communicator, {
    exchange(sends: readonly Message[], recvs: readonly Message[]) {
      sends.forEach(onSend);
      communicator.exchange(sends, recvs);
    },
  });
}

for (const direction of ['forward', 'reverse'] as const) {
  test(`two-level ~> between nodes every rank sends its share of the state, and nothing of M: ${direction}`, async () => {
    const shape = [1, 2, 16, 4] as const;
    const scan: ScanCase = {
      ...{ numRanks, ranksPerNode, kind: 'dense', direction, dtype: 'f32', blocks: 1, shape },
      ...{ starts: [5], seed: 2 },
    };
    const crossing: { from: number; to: number; bytes: number }[] = [];
    await withRanks(numRanks, async ({ devices, communicators }) => {
      const segments = hostSegments(scan);
      const entered = communicators.map((communicator, rank) =>
        devices[rank]!.scope(() => {
          const group = watched(communicator, ({ tensor: { bytes }, peer }) => {
            if (nodeOf(peer) !== nodeOf(rank)) crossing.push({ from: rank, to: peer, bytes });
          });
          return twoLevel.start(upload(devices[rank]!, scan, segments[rank]!), group, direction, scan).wait();
        }),
      );
      await expectFold(
        scan,
        entered.map((tensor, rank) => ({ rank, tensor })),
      );
    });
    const senders = Array.from({ length: numRanks - ranksPerNode }, (_, i) => i);
    const bytes = segmentBytes(scan).state / ranksPerNode;
    assert.equal(
      crossing.sort((a, b) => a.from - b.from),
      direction === 'forward'
        ? senders.map((rank) => ({ from: rank, to: rank + ranksPerNode, bytes }))
        : senders.map((rank) => ({ from: rank + ranksPerNode, to: rank, bytes })),
    );
  });
}

test('two-level ~> ranks that do not fill whole nodes are refused before anything is sent', async () => {
  const scan: ScanCase = {
    ...{ numRanks: 3, ranksPerNode: 3, kind: 'scalar', direction: 'forward', dtype: 'f32', blocks: 1 },
    ...{ shape: [1, 1, 2, 2], starts: null, seed: 1 },
  };
  await withRanks(3, async ({ devices, communicators }) => {
    const local = upload(devices[0]!, scan, hostSegments(scan)[0]!);
    const start = () => twoLevel.start(local, communicators[0]!, 'forward', { blocks: 1, ranksPerNode: 2 });
    assert.throws(start, /3 ranks in nodes of 2/);
    assert.is(communicators[0]!.bytesSent(), 0);
  });
});

test.run();
