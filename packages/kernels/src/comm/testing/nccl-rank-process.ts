import { openCudaDevice } from '../../device.js';
import { LongscanError } from '../../errors.js';
import { fromArray } from '../../tensor.js';
import type { Communicator } from '../communicator.js';
import { connectNccl, createNcclGroupId } from '../nccl.js';
import { checkCollectives } from './check-group.js';

/** What the test tells a rank process. */
export interface NcclRankOrders {
  readonly rank: number;
  readonly size: number;
  readonly id: string;
  readonly timeoutMs: number;
  /** `check`: all collectives, compared. `traffic`: all-reduces without end. `wait`: a message that never comes. */
  readonly task: 'check' | 'traffic' | 'wait';
}

/** What a rank process tells the test; it takes `abort` too. */
export type NcclRankNews =
  | { readonly kind: 'ready'; readonly id: string }
  | { readonly kind: 'running' }
  | { readonly kind: 'checked' }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string };

// One rank on a GPU in a process of its own, started by `fork` with an NCCL_HOSTID of its own.

const tell = (news: NcclRankNews) => process.send!(news);
let comm: Communicator | null = null;
process.on('disconnect', () => process.exit()); // the test has ended
process.on('message', (message: NcclRankOrders | 'abort') => {
  if (message === 'abort') comm!.abort('a test');
  else void runRank(message);
});
tell({ kind: 'ready', id: createNcclGroupId() });

async function runRank({ rank, size, id, timeoutMs, task }: NcclRankOrders): Promise<void> {
  const device = openCudaDevice({ kernels: false, poison: true });
  try {
    comm = await connectNccl({ device, axis: 'sp', id, rank, size, timeoutMs });
    if (task === 'check') await checkCollectives([comm]);
    if (task === 'traffic') await exchangeForever(comm);
    if (task === 'wait') await waitForever(comm);
    comm.close();
    device.close();
    tell({ kind: 'checked' });
  } catch (error) {
    const { code, message } = error instanceof LongscanError ? error : { code: 'none', message: `${error}` };
    tell({ kind: 'failed', code, message });
  }
}

async function exchangeForever(comm: Communicator): Promise<void> {
  const tensor = fromArray(comm.stream.device, new Float32Array(1000), [1000]);
  comm.stream.wait(comm.stream.device.compute.record());
  for (let round = 0; ; round++) {
    comm.allReduce(tensor);
    await comm.stream.sync();
    if (round === 3) tell({ kind: 'running' });
  }
}

/** Every rank receives from the next one, which does not send. */
async function waitForever(comm: Communicator): Promise<void> {
  const tensor = fromArray(comm.stream.device, new Float32Array(1000), [1000]);
  comm.stream.wait(comm.stream.device.compute.record());
  // So that the group is known to work, and connected.
  comm.allReduce(tensor);
  await comm.stream.sync();
  tell({ kind: 'running' });
  if (comm.rank === 0) comm.allReduce(tensor);
  await comm.stream.sync();
  if (comm.rank !== 0) await new Promise(() => {});
}
