import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../device.js';
import { LongscanError } from '../../errors.js';
import { empty, fromArray, type Tensor } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import {
  checkOpOnGpu,
  expectClose,
  expectSameBits,
  fromNumbers,
  randomNormal,
  randomUniform,
  roundedTo,
  tolerances,
} from '../../testing/index.js';
import { embedding } from './index.js';
import { embeddingReference } from './reference.js';

/** Tokens of which a third is one and the same: runs of every length, some over many pieces. */
function skewedTokens(count: number, vocab: number): Float64Array {
  const [which, other] = [randomUniform(count, 1, 0, 1), randomUniform(count, 2, 0, vocab)];
  return other.map((token, t) => (which[t]! < 1 / 3 ? Math.floor(vocab / 2) : Math.floor(token)));
}

for (const { shape, vocab, dim } of [
  { shape: [1], vocab: 1, dim: 1 },
  { shape: [3, 21], vocab: 7, dim: 63 },
  { shape: [1000], vocab: 50, dim: 130 },
  { shape: [2, 999], vocab: 30, dim: 2056 },
  { shape: [513], vocab: 1, dim: 8 },
]) {
  testOnGpu(`embedding [${shape}] of [${vocab}, ${dim}]`, (device) => {
    const tokens = skewedTokens(
      shape.reduce((product, size) => product * size, 1),
      vocab,
    );
    return checkOpOnGpu(device, {
      name: 'embedding',
      inputs: { table: { values: randomNormal(vocab * dim, 2), shape: [vocab, dim] } },
      op: ({ table }, on) => [embedding({ tokens: fromArray(on, tokens, shape, 'i32'), table })],
      reference: ({ table }) => embeddingReference(tokens, table, dim),
    });
  });
}

const [numTokens, vocab, dim] = [3000, 90, 48];

/** What a parameter's f32 gradient holds after a table's in bf16 has been added to it. */
async function addGradient(device: Device, tokens: Float64Array, dy: Float64Array): Promise<Float64Array> {
  const table = fromNumbers(device, randomNormal(vocab * dim, 3), [vocab, dim], 'bf16');
  table.requiresGrad = true;
  table.gradient = fromArray(device, new Float64Array(vocab * dim).fill(1), [vocab, dim]);
  const { result, tape } = device.record(() =>
    embedding({ tokens: fromArray(device, tokens, [numTokens], 'i32'), table }),
  );
  tape.backward([result], [fromNumbers(device, dy, [numTokens, dim], 'bf16')]);
  return table.gradient.readNumbers();
}

testOnGpu(
  'embedding ~> the gradient of a table in bf16 is added up in f32, twice to the same bits',
  async (device) => {
    const tokens = skewedTokens(numTokens, vocab);
    const dy = randomNormal(numTokens * dim, 4);
    const expected = new Float64Array(vocab * dim).fill(1);
    roundedTo('bf16', dy).forEach((value, i) => {
      expected[tokens[Math.floor(i / dim)]! * dim + (i % dim)]! += value;
    });
    const found = await addGradient(device, tokens, dy);
    expectClose('dtable', found, expected, tolerances.f32);
    expectSameBits('twice', await addGradient(device, tokens, dy), found);
  },
);

for (const id of [-1, 5, 2 ** 31 - 1, -(2 ** 31)]) {
  testOnGpu(`token id ${id} of a vocabulary of 5 is named`, async (device) => {
    const table = fromArray(device, new Float64Array(10).fill(1), [5, 2]);
    const tokens = fromArray(device, [0, 4, id, id], [4], 'i32');
    const y: Tensor = embedding({ tokens, table });
    try {
      await y.read();
      assert.unreachable();
    } catch (error) {
      assert.instance(error, LongscanError);
      assert.is((error as LongscanError).code, 'E-DATA-VOCAB');
      assert.match((error as Error).message, `token id ${id} at position 2, expected 0 to 4`);
    }
  });
}

testOnGpu('a gradient leaves out tokens that are no row', async (device) => {
  const dtable = fromArray(device, new Float64Array(10).fill(1), [5, 2]);
  const tokens = fromArray(device, [3, -7, 2 ** 30, 3], [4], 'i32');
  const dy = fromArray(device, [1, 2, 4, 8, 16, 32, 64, 128], [4, 2]);
  device.native.embeddingGradient(device.compute.id, tokens.id, dy.id, dtable.id, true);
  assert.equal([...(await dtable.read())], [1, 1, 1, 1, 1, 1, 66, 131, 1, 1]);
});

testOnGpu('embedding of no tokens', async (device) => {
  const table = fromArray(device, [1, 2], [1, 2]);
  assert.is(embedding({ tokens: empty(device, [0], 'i32'), table }).size, 0);
  await device.compute.sync();
});

test.run();
