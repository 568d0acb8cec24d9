import { randomNormal } from '@longscan/kernels/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type JobSpec, jobSpecSchema } from '../protocol/job-spec.js';
import { textOf } from '../testing/documents.js';
import { trainOnDocuments } from '../testing/train-on-documents.js';
import { openTrainingRanks } from '../testing/training-ranks.js';
import { gatherParameters, gatherValues } from './over-ranks.js';

const text = textOf([50, 120, 7, 300]);
const windows = [0, 96, 192, 288].map((start) => ({ start, numTokens: 96 }));

function specOf(zero: number, clipNorm: number): JobSpec {
  return jobSpecSchema.parse({
    model: {
      ...{ dModel: 32, numLayers: 2, numHeads: 2, vocabSize: 40, mlp: 32 },
      layers: ['gla', 'deltanet'].map((use) => ({ use, options: {}, file: null })),
    },
    data: { path: 'unused', format: 'jsonl', sequenceLength: 96, packing: true },
    optimizer: { eps: 1e-3, clipNorm },
    parallel: { zero },
  });
}

const meshes = [
  { lengths: [48, 48], dp: 1 },
  { lengths: [96], dp: 2 },
  { lengths: [32, 32, 32], dp: 1 },
  { lengths: [48, 48], dp: 2 },
] as const;

for (const mesh of meshes) {
  test(`zero ~> sp=${mesh.lengths.length} dp=${mesh.dp}: the weights and norms of an optimizer that is not sharded`, async () => {
    for (const clipNorm of [0, 0.1]) {
      const run = { ...mesh, text, windows, numSteps: 4, accumulate: 2 };
      const whole = await trainOnDocuments(specOf(0, clipNorm), run);
      const sharded = await trainOnDocuments(specOf(1, clipNorm), run);
      for (const weights of sharded.weights) {
        assert.equal(weights, sharded.weights[0], 'every rank has the same bits');
        // The buffers of shards may be padded further.
        whole.weights[0]!.forEach((weight, i) => {
          assert.ok(Math.abs(weights[i]! - weight) < 1e-12, `weight ${i}: ${weights[i]}, expected ${weight}`);
        });
      }
      sharded.steps.forEach(({ clip, loss }, i) => {
        const expected = whole.steps[i]!;
        // The collectives add in different orders; a norm is a steep function of weights that differ by rounding.
        const [lossError, normError] = [loss / expected.loss - 1, clip.norm / expected.clip.norm - 1];
        assert.ok(Math.abs(lossError) < 1e-12, `step ${i + 1}, loss off by ${lossError}`);
        assert.ok(Math.abs(normError) < (i === 0 ? 1e-13 : 1e-9), `step ${i + 1}, norm off by ${normError}`);
        if (clipNorm > 0) assert.ok(clip.factor < 1, 'it clips');
      });
    }
  });
}

test('zero ~> a rank holds its share of the moments', async () => {
  const lengths = [32, 32, 32];
  const [ranks, whole] = [
    await openTrainingRanks(specOf(1, 0), { lengths, strategy: 'ring' }),
    await openTrainingRanks(specOf(0, 0), { lengths, strategy: 'ring' }),
  ];
  for (const { optimizer, parameters } of ranks) {
    const held = optimizer.ranges().reduce((sum, { length }) => sum + length, 0);
    assert.ok(held > 0 && held <= parameters.values.size / 3);
    assert.is(3 * optimizer.moments.m.size, parameters.values.size);
    assert.is(3 * optimizer.moments.v.size, parameters.values.size);
  }
  assert.is(whole[0]!.optimizer.moments.m.size, whole[0]!.parameters.values.size);
  const names = new Set(ranks.flatMap(({ optimizer }) => optimizer.ranges().map(({ spec }) => spec.name)));
  assert.equal([...names], [...ranks[0]!.parameters.byName.keys()], 'nobody is left out');
  for (const { device } of [...ranks, ...whole]) device.close();
});

for (const gradientBucket of ['0B', '1KiB']) {
  test(`zero, bf16, buckets of ${gradientBucket} ~> after a step everybody sees all, and before a checkpoint has all of it`, async () => {
    const spec = specOf(1, 0);
    const job = { ...spec, parallel: { ...spec.parallel, gradientBucket } };
    const lengths = [32, 32, 32];
    const ranks = await openTrainingRanks(job, { lengths, strategy: 'ring', precision: 'bf16' });
    const names = ranks[0]!.parameters.specs.map(({ name }) => name);
    const written = ranks.map(({ parameters }, rank) =>
      parameters.specs.map(({ name, shape }, i) => {
        const size = shape.reduce((a, b) => a * b, 1);
        const values = Float32Array.from(randomNormal(size, 100 * rank + i));
        parameters.write(name, values);
        return values;
      }),
    );
    /** What the rank that updates it has written. */
    const expected = written[0]!.map((values) => new Float32Array(values.length));
    ranks.forEach(({ optimizer }, rank) => {
      for (const { spec, inParameter, length } of optimizer.ranges()) {
        const i = names.indexOf(spec.name);
        expected[i]!.set(written[rank]![i]!.subarray(inParameter, inParameter + length), inParameter);
      }
    });
    for (const rank of ranks) gatherParameters(rank);
    for (const { parameters } of ranks) {
      parameters.awaitUpdates();
      for (const [i, name] of names.entries()) {
        const seen = await parameters.byName.get(name)!.readNumbers();
        expected[i]!.forEach((value, at) => {
          assert.ok(Math.abs(seen[at]! - value) <= 2 ** -8 * Math.abs(value), `${name} ${at}`);
        });
      }
    }
    const before = ranks.map(({ device }) => device.memory().numTensors);
    for (const rank of ranks) gatherValues(rank);
    assert.equal(
      ranks.map(({ device }) => device.memory().numTensors),
      before,
    );
    for (const { parameters, device } of ranks) {
      for (const [i, name] of names.entries()) {
        assert.equal(await parameters.valuesOf(name).read(), expected[i], name);
      }
      device.close();
    }
  });
}

test.run();
