import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openCpuDevice } from '../../device.js';
import { fromArray } from '../../tensor.js';
import { checkOp, randomNormal } from '../../testing/index.js';
import { batchedMatmul } from './index.js';
import { batchedMatmulReference } from './reference.js';

const sizes = [
  [[1], 1, 1, 1],
  [[2, 3], 5, 1, 17],
  [[3], 1, 33, 1],
  [[2, 1, 2], 7, 19, 18],
  [[6], 40, 16, 24],
] as const;

for (const [batch, M, N, K] of sizes) {
  for (const [transA, transB] of [
    [false, false],
    [false, true],
    [true, false],
    [true, true],
  ] as const) {
    test(`batched-matmul ~> [${batch}] of ${M}x${K}x${N}, transposed ${transA}, ${transB}`, async () => {
      const count = batch.reduce<number>((product, dim) => product * dim, 1);
      const call = { batch: count, M, N, K, transA, transB };
      await checkOp({
        name: 'batched-matmul',
        inputs: {
          a: { values: randomNormal(count * M * K, 1), shape: [...batch, ...(transA ? [K, M] : [M, K])] },
          b: { values: randomNormal(count * K * N, 2), shape: [...batch, ...(transB ? [N, K] : [K, N])] },
        },
        op: ({ a, b }) => [batchedMatmul({ a, b }, { transposeA: transA, transposeB: transB })],
        reference: (inputs) => batchedMatmulReference(call, inputs),
      });
    });
  }
}

test('batched-matmul ~> what does not fit is refused before anything runs', () => {
  const device = openCpuDevice();
  const of = (...shape: number[]) =>
    fromArray(device, new Float64Array(shape.reduce((p, n) => p * n, 1)), shape);
  assert.throws(
    () => batchedMatmul({ a: of(2, 3, 4), b: of(2, 3, 4) }),
    /E-SHAPE.*batched-matmul.*b has shape/s,
  );
  assert.throws(() => batchedMatmul({ a: of(2, 3, 4), b: of(3, 4, 2) }), /E-SHAPE/);
  assert.throws(
    () =>
      device.native.batchedMatmul(
        device.compute.id,
        false,
        false,
        of(2, 3, 4).id,
        of(2, 4, 5).id,
        of(1, 3, 5).id,
      ),
    /E-ARGUMENT|numbers of matrices differ/,
  );
  device.close();
});

test.run();
