import { test } from 'uvu';
import { testOnGpu } from '../../testing/gpu.js';
import { checkBatchedMatmulOnGpu } from './check-on-gpu.js';

// Outer products, matrices times vectors, odd sizes, whole tiles, and more matrices than a grid has blocks along an axis.
for (const sizes of [
  { batch: [1], M: 1, N: 1, K: 1 },
  { batch: [2, 3], M: 5, N: 17, K: 1 },
  { batch: [3], M: 33, N: 1, K: 9 },
  { batch: [2, 1, 2], M: 7, N: 19, K: 18 },
  { batch: [6], M: 128, N: 64, K: 72 },
  { batch: [70_000], M: 2, N: 3, K: 4 },
]) {
  testOnGpu(`batched-matmul ~> [${sizes.batch}] of ${sizes.M}x${sizes.K}x${sizes.N}`, (device) =>
    checkBatchedMatmulOnGpu(device, sizes),
  );
}

test.run();
