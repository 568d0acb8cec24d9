import type { Communicator } from '../comm/communicator.js';
import { connectNccl, createNcclGroupId } from '../comm/nccl.js';
import type { PeerMemory } from '../comm/peer-memory.js';
import { countGpus, openCudaDevice } from '../device.js';
import { LongscanError } from '../errors.js';

/** What the test tells a rank process (`GpuRanks`), beside orders of its own. */
export interface GpuRankPlace {
  readonly rank: number;
  readonly size: number;
  /** Of the NCCL group. */
  readonly id: string;
}

/** What a rank process tells the test. */
export type GpuRankNews =
  | { readonly kind: 'ready'; readonly id: string }
  | { readonly kind: 'running' }
  | { readonly kind: 'done'; readonly result: unknown }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string };

export interface GpuRankOptions {
  /** Default: 30 s. */
  readonly timeoutMs?: number;
  /** Default: false. */
  readonly kernels?: boolean;
  /** Left out: the group has no chains. */
  readonly peerMemory?: PeerMemory;
}

/**
 * The body of a process that `GpuRanks` starts: connects the group, runs `body` and tells its result, which the test gets as
 * JSON, or its failure. An error ends nothing else: the process stays until the test ends.
 */
export function runGpuRank<Orders extends GpuRankOptions>(
  body: (comm: Communicator, orders: Orders, tellRunning: () => void) => Promise<unknown>,
): void {
  const tell = (news: GpuRankNews) => process.send!(news);
  let comm: Communicator | null = null;
  const run = async (orders: Orders & GpuRankPlace) => {
    const { rank, size, id, timeoutMs = 30_000, kernels = false, peerMemory } = orders;
    const device = openCudaDevice({ index: rank % countGpus(), kernels, poison: true });
    const group = { device, axis: 'sp', id, rank, size, timeoutMs };
    ({ comm } = await connectNccl({ ...group, ...(peerMemory && { peerMemory }) }));
    const result = await body(comm, orders, () => tell({ kind: 'running' }));
    comm.close();
    await comm.stream.sync();
    device.close();
    tell({ kind: 'done', result });
  };
  process.on('disconnect', () => process.exit());
  process.on('message', (message: (Orders & GpuRankPlace) | 'abort') => {
    if (message === 'abort') comm!.abort('a test');
    else {
      run(message).catch((error: unknown) => {
        const code = error instanceof LongscanError ? error.code : 'none';
        const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
        tell({ kind: 'failed', code, message: text });
      });
    }
  });
  tell({ kind: 'ready', id: createNcclGroupId() });
}
