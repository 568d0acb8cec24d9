import { fileURLToPath } from 'node:url';
import { GpuRanks } from '@longscan/kernels/testing';
import { testOnGpu } from '@longscan/kernels/testing/gpu';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { CheckResult } from './check.js';

// Every strategy's scans, over NCCL alone and with chains through mapped memory: ranks in processes of their own on one GPU.

const program = fileURLToPath(new URL('./testing/scan-rank-process.js', import.meta.url));

for (const size of [2, 4]) {
  for (const peerMemory of ['off', 'required'] as const) {
    const carriers = peerMemory === 'off' ? 'NCCL' : 'NCCL and mapped memory';
    const orders = { kernels: true, peerMemory };
    testOnGpu(`strategies over ${carriers} ~> ${size} ranks`, () =>
      GpuRanks.run({ program, size, orders, patienceMs: 120_000 }, async (ranks) => {
        for (const [rank, { result }] of (await ranks.all('done')).entries()) {
          const failed = (result as CheckResult[]).filter(({ passed }) => !passed);
          assert.equal(failed, [], `rank ${rank}`);
        }
      }),
    );
  }
}

test.run();
