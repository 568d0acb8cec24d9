import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { testOnGpu } from '../testing/gpu.js';
import { GpuRanks } from '../testing/gpu-ranks.js';
import type { NcclRankOrders } from './testing/nccl-rank-process.js';

// Over NCCL itself: ranks in processes of their own on one GPU, which NCCL connects by sockets.

const program = fileURLToPath(new URL('./testing/nccl-rank-process.js', import.meta.url));
/** For the start of the processes, of CUDA and of NCCL in each; then they are killed, and what waits for one of them fails. */
const patienceMs = 60_000;

const withRanks = (size: number, orders: NcclRankOrders, body: (ranks: GpuRanks) => Promise<unknown>) =>
  GpuRanks.run({ program, size, orders, patienceMs }, body);

for (const size of [2, 4]) {
  testOnGpu(`NCCL ~> every collective, ${size} ranks on a GPU`, () =>
    withRanks(size, { task: 'check' }, (ranks) => ranks.all('done')),
  );
}

testOnGpu('NCCL ~> SIGKILL of one of 3 frees the others', () =>
  withRanks(3, { timeoutMs: 5000, task: 'traffic' }, async (ranks) => {
    await ranks.all('running');
    ranks.signal(1, 'SIGKILL');
    for (const rank of [0, 2]) {
      const { code, message } = await ranks.next(rank, 'failed');
      assert.match(code, /^E-COMM-(PEER|DEADLINE)$/, message);
      assert.match(message, new RegExp(`sp rank ${rank} of 3`));
    }
  }),
);

testOnGpu('NCCL ~> a peer that takes no part runs into the deadline', () =>
  withRanks(2, { timeoutMs: 1500, task: 'wait' }, async (ranks) => {
    await ranks.all('running');
    const { code, message } = await ranks.next(0, 'failed');
    assert.is(code, 'E-COMM-DEADLINE', message);
    const found = /sp rank 0 of 2: the deadline passed in an all-reduce of 4000 bytes \(collective 4\)/;
    assert.match(message, found);
  }),
);

testOnGpu('NCCL ~> abort frees a GPU that waits, before the deadline', () =>
  withRanks(2, { timeoutMs: 10 * patienceMs, task: 'wait' }, async (ranks) => {
    await ranks.all('running');
    await new Promise((resolve) => setTimeout(resolve, 300));
    ranks.abort(0);
    const { code, message } = await ranks.next(0, 'failed');
    assert.is(code, 'E-COMM-ABORT', message);
  }),
);

test.run();
