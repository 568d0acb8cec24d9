import { openCpuDevice } from '../../device.js';
import { LongscanError } from '../../errors.js';
import { fromArray } from '../../tensor.js';
import { connectTcp, openListener } from '../tcp.js';
import { testJob } from './groups.js';

/** What the test tells a rank process, once it knows every port. */
export interface RankOrders {
  readonly rank: number;
  readonly ports: readonly number[];
  readonly timeoutMs: number;
  /** `all`: small all-reduces, directly between all ranks. `ring`: receive from the previous rank, send to the next. */
  readonly traffic: 'all' | 'ring';
}

/** What a rank process tells the test. */
export type RankNews =
  | { readonly kind: 'listening'; readonly port: number }
  | { readonly kind: 'running' }
  | {
      readonly kind: 'failed';
      readonly code: string;
      readonly message: string;
      /** Since the last collective that went well. */
      readonly waitedMs: number;
    };

// One rank in a process of its own, started by `fork`. It runs collectives until one fails, tells why, and stays.

const tell = (news: RankNews) => process.send!(news);
const listener = openListener('127.0.0.1');
process.on('disconnect', () => process.exit()); // the test has ended
process.on('message', (orders: RankOrders) => void runRank(orders));
tell({ kind: 'listening', port: listener.port });

async function runRank({ rank, ports, timeoutMs, traffic }: RankOrders): Promise<void> {
  const device = openCpuDevice();
  let wentWellAtMs = performance.now();
  const addresses = ports.map((port) => ({ host: '127.0.0.1', port }));
  try {
    const comm = await connectTcp({ ...testJob, device, listener, rank, addresses, timeoutMs });
    const numElements = traffic === 'all' ? 1000 : 16_000;
    const sent = fromArray(device, new Float32Array(numElements), [numElements]);
    const received = fromArray(device, new Float32Array(numElements), [numElements]);
    comm.stream.wait(device.compute.record());
    const size = ports.length;
    const toNext = { tensor: sent, peer: (rank + 1) % size };
    const fromPrev = { tensor: received, peer: (rank + size - 1) % size };
    for (let round = 0; ; round++) {
      if (traffic === 'all') comm.allReduce(sent);
      else comm.exchange([toNext], [fromPrev]);
      await comm.stream.sync();
      wentWellAtMs = performance.now();
      if (round === 10) tell({ kind: 'running' });
    }
  } catch (error) {
    if (!(error instanceof LongscanError)) throw error;
    const waitedMs = performance.now() - wentWellAtMs;
    tell({ kind: 'failed', code: error.code, message: error.message, waitedMs });
  }
}
