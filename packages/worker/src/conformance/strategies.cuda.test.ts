import { fileURLToPath } from 'node:url';
import { GpuRanks } from '@longscan/kernels/testing';
import { testOnGpu } from '@longscan/kernels/testing/gpu';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { CheckResult } from './check.js';

// Every strategy's scans over NCCL: ranks in processes of their own on one GPU.

const program = fileURLToPath(new URL('./testing/scan-rank-process.js', import.meta.url));

for (const size of [2, 4]) {
  testOnGpu(`strategies over NCCL ~> ${size} ranks`, async () => {
    const ranks = await GpuRanks.start(program, size, { kernels: true }, 120_000);
    try {
      for (const [rank, { result }] of (await ranks.all('done')).entries()) {
        const failed = (result as CheckResult[]).filter(({ passed }) => !passed);
        assert.equal(failed, [], `rank ${rank}`);
      }
    } finally {
      ranks.kill();
    }
  });
}

test.run();
