import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openCpuDevice } from '../../device.js';
import { LongscanError } from '../../errors.js';
import { fromArray } from '../../tensor.js';
import { checkOp, randomNormal, randomUniform } from '../../testing/index.js';
import { embedding } from './index.js';
import { embeddingReference } from './reference.js';

for (const { shape, vocab, dim } of [
  { shape: [1], vocab: 1, dim: 1 },
  { shape: [3, 21], vocab: 7, dim: 63 },
  { shape: [1000], vocab: 50, dim: 130 },
]) {
  test(`embedding [${shape}] of [${vocab}, ${dim}]`, async () => {
    const numTokens = shape.reduce((product, size) => product * size, 1);
    const tokens = randomUniform(numTokens, 1, 0, vocab).map(Math.floor);
    await checkOp({
      name: 'embedding',
      inputs: { table: { values: randomNormal(vocab * dim, 2), shape: [vocab, dim] } },
      op: ({ table }, device) => [embedding({ tokens: fromArray(device, tokens, shape, 'i32'), table })],
      reference: ({ table }) => embeddingReference(tokens, table, dim),
    });
  });
}

for (const id of [-1, 5, 2 ** 31 - 1, -(2 ** 31)]) {
  test(`token id ${id} of a vocabulary of 5 is named`, async () => {
    const device = openCpuDevice();
    try {
      embedding({
        tokens: fromArray(device, [0, 4, id], [3], 'i32'),
        table: fromArray(device, new Float64Array(10), [5, 2]),
      });
      await device.compute.sync();
      assert.unreachable();
    } catch (error) {
      assert.instance(error, LongscanError);
      assert.is((error as LongscanError).code, 'E-DATA-VOCAB');
      assert.is((error as LongscanError).exitCode, 4);
      assert.match((error as Error).message, `token id ${id} at position 2`);
    } finally {
      device.close();
    }
  });
}

test('the gradient has the same bits for every number of threads', async () => {
  const tokens = randomUniform(3000, 1, 0, 10).map(Math.floor);
  const results: Float64Array[] = [];
  for (const threads of [1, 3]) {
    const device = openCpuDevice({ threads });
    const table = fromArray(device, new Float64Array(10 * 50), [10, 50]);
    table.requiresGrad = true;
    table.gradient = fromArray(device, new Float64Array(10 * 50), [10, 50]);
    const { result, tape } = device.record(() =>
      embedding({ tokens: fromArray(device, tokens, [3000], 'i32'), table }),
    );
    tape.backward([result], [fromArray(device, randomNormal(3000 * 50, 2), [3000, 50])]);
    results.push(await table.gradient.readNumbers());
    device.close();
  }
  assert.equal(results[1], results[0]);
});

test.run();
