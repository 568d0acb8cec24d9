import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { testOnGpu } from '../testing/gpu.js';
import { GpuRanks } from '../testing/gpu-ranks.js';
import type { ChainRankOrders } from './testing/chain-rank-process.js';

// Chains through mapped memory: ranks in processes of their own, which take turns on one GPU.

const program = fileURLToPath(new URL('./testing/chain-rank-process.js', import.meta.url));
/** For the start of the processes, of CUDA and of NCCL in each; then they are killed, and what waits for one of them fails. */
const patienceMs = 90_000;

const withRanks = (size: number, orders: ChainRankOrders, body: (ranks: GpuRanks) => Promise<unknown>) =>
  GpuRanks.run(
    { program, size, orders: { kernels: true, peerMemory: 'required', ...orders }, patienceMs },
    body,
  );

for (const size of [2, 4]) {
  testOnGpu(`chains ~> the bits of those by messages, every kind, ${size} ranks on a GPU`, () =>
    withRanks(size, { task: 'check' }, async (ranks) => {
      for (const [rank, { result }] of (await ranks.all('done')).entries())
        assert.equal(result, [], `rank ${rank}`);
    }),
  );
}

testOnGpu('chains ~> SIGKILL of one of 3 frees the others', () =>
  withRanks(3, { timeoutMs: 5000, task: 'traffic' }, async (ranks) => {
    await ranks.all('running');
    ranks.signal(1, 'SIGKILL');
    for (const rank of [0, 2]) {
      const { code, message } = await ranks.next(rank, 'failed');
      assert.match(code, /^E-COMM-(PEER|DEADLINE)$/, message);
      assert.match(message, new RegExp(`sp rank ${rank} of 3.* a chain of 32768 bytes`));
    }
  }),
);

testOnGpu('chains ~> a rank that takes no part: the deadline for its neighbour, who frees the next one', () =>
  withRanks(3, { timeoutMs: 1500, task: 'wait' }, async (ranks) => {
    await ranks.all('running');
    const failures = await Promise.all([1, 2].map((rank) => ranks.next(rank, 'failed')));
    const codes = failures.map(({ code }) => code);
    assert.ok(codes.includes('E-COMM-DEADLINE'), codes.join());
    for (const { code, message } of failures) {
      assert.match(code, /^E-COMM-(PEER|DEADLINE)$/, message);
      assert.match(message, /in a chain of 32768 bytes \(collective 7\)/);
    }
  }),
);

testOnGpu('chains ~> abort frees a GPU that waits, before the deadline, and its neighbour with it', () =>
  withRanks(3, { timeoutMs: 10 * patienceMs, task: 'wait' }, async (ranks) => {
    await ranks.all('running');
    await new Promise((resolve) => setTimeout(resolve, 300));
    ranks.abort(1);
    const [aborted, lost] = await Promise.all([1, 2].map((rank) => ranks.next(rank, 'failed')));
    assert.is(aborted!.code, 'E-COMM-ABORT', aborted!.message);
    assert.is(lost!.code, 'E-COMM-PEER', lost!.message);
    assert.match(lost!.message, /sp rank 2 of 3: rank 1 is gone in a chain/);
  }),
);

test.run();
