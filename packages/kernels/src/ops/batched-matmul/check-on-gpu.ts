import type { Device } from '../../device.js';
import { checkOpOnGpu, randomNormal } from '../../testing/index.js';
import { batchedMatmul } from './index.js';
import { batchedMatmulReference } from './reference.js';

export interface BatchedSizes {
  readonly batch: readonly number[];
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** Products and both gradients, with every choice of operands that are stored transposed. */
export async function checkBatchedMatmulOnGpu(
  device: Device,
  { batch, M, N, K }: BatchedSizes,
): Promise<void> {
  const count = batch.reduce((product, dim) => product * dim, 1);
  for (const transA of [false, true]) {
    for (const transB of [false, true]) {
      await checkOpOnGpu(device, {
        name: `batched-matmul [${batch}] of ${M}x${K}x${N}, transposed ${transA}, ${transB}`,
        inputs: {
          a: { values: randomNormal(count * M * K, 1), shape: [...batch, ...(transA ? [K, M] : [M, K])] },
          b: { values: randomNormal(count * K * N, 2), shape: [...batch, ...(transB ? [N, K] : [K, N])] },
        },
        op: ({ a, b }) => [batchedMatmul({ a, b }, { transposeA: transA, transposeB: transB })],
        reference: (inputs) => batchedMatmulReference({ batch: count, M, N, K, transA, transB }, inputs),
      });
    }
  }
}
