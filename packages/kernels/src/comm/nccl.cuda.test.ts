import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { testOnGpu } from '../testing/gpu.js';
import { NcclRanks } from './testing/nccl-ranks.js';

// Over NCCL itself: ranks in processes of their own on one GPU, which NCCL connects by sockets.

/** For the start of the processes, of CUDA and of NCCL in each. */
const patienceMs = 60_000;

async function withRanks(
  orders: Parameters<typeof NcclRanks.start>[0],
  body: (ranks: NcclRanks) => Promise<void>,
): Promise<void> {
  const ranks = await NcclRanks.start(orders, patienceMs);
  try {
    await body(ranks);
  } finally {
    ranks.kill();
  }
}

for (const size of [2, 4]) {
  testOnGpu(`NCCL ~> every collective, ${size} ranks on a GPU`, () =>
    withRanks({ size, timeoutMs: 30_000, task: 'check' }, async (ranks) => {
      await ranks.all('checked');
    }),
  );
}

testOnGpu('NCCL ~> SIGKILL of one of 3 frees the others', () =>
  withRanks({ size: 3, timeoutMs: 5000, task: 'traffic' }, async (ranks) => {
    await ranks.all('running');
    const killedAt = ranks.signal(1, 'SIGKILL');
    for (const rank of [0, 2]) {
      const { code, message, atMs } = await ranks.next(rank, 'failed');
      assert.match(code, /^E-COMM-(PEER|DEADLINE)$/, message);
      assert.match(message, new RegExp(`sp rank ${rank} of 3`));
      assert.ok(atMs - killedAt < 8000, `rank ${rank} failed after ${atMs - killedAt} ms`);
      console.log(`rank ${rank} after ${(atMs - killedAt).toFixed(0)} ms: ${message}`);
    }
  }),
);

testOnGpu('NCCL ~> a peer that takes no part runs into the deadline', () =>
  withRanks({ size: 2, timeoutMs: 1500, task: 'wait' }, async (ranks) => {
    await ranks.all('running');
    const { code, message } = await ranks.next(0, 'failed');
    assert.is(code, 'E-COMM-DEADLINE', message);
    assert.match(
      message,
      /sp rank 0 of 2: the deadline passed in an all-reduce of 4000 bytes \(collective 2\)/,
    );
  }),
);

testOnGpu('NCCL ~> abort frees a GPU that waits, at once', () =>
  withRanks({ size: 2, timeoutMs: 40_000, task: 'wait' }, async (ranks) => {
    await ranks.all('running');
    await new Promise((resolve) => setTimeout(resolve, 500));
    const abortedAt = ranks.abort(0);
    const { code, message, atMs } = await ranks.next(0, 'failed');
    assert.is(code, 'E-COMM-ABORT', message);
    assert.ok(atMs - abortedAt < 5000, `after ${atMs - abortedAt} ms`);
    console.log(`aborted after ${(atMs - abortedAt).toFixed(0)} ms`);
  }),
);

test.run();
