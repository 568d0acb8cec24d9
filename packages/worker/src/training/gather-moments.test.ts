import { setImmediate } from 'node:timers/promises';
import { randomNormal } from '@longscan/kernels/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { jobSpecSchema } from '../protocol/job-spec.js';
import { openTrainingRanks } from '../testing/training-ranks.js';
import { gatherMoments } from './gather-moments.js';

const job = jobSpecSchema.parse({
  model: {
    dModel: 16,
    numLayers: 1,
    numHeads: 2,
    vocabSize: 24,
    mlp: 16,
    layers: [{ use: 'gla', options: {}, file: null }],
  },
  data: { path: 'unused', sequenceLength: 96 },
  parallel: { zero: 1 },
});

test('moments ~> rank 0 has all of them, and the others go on once it has theirs', async () => {
  const ranks = await openTrainingRanks(job, { lengths: [32, 32, 32], strategy: 'ring' });
  const written = ranks.map(({ optimizer: { moments } }, rank) =>
    [moments.m, moments.v].map((tensor, i) => {
      const values = Float32Array.from(randomNormal(tensor.size, 2 * rank + i));
      tensor.write(values);
      return values;
    }),
  );
  const gone = new Set<number>();
  const others = ranks.slice(1).map(async ({ mesh, optimizer }, i) => {
    assert.is(await gatherMoments(mesh.world, optimizer), null);
    gone.add(i + 1);
  });
  // All that could let them go on without rank 0 is done.
  await Promise.all(ranks.map(({ device }) => device.compute.sync()));
  await setImmediate();
  assert.equal([...gone], []);
  const { mesh, optimizer } = ranks[0]!;
  const shards = (await gatherMoments(mesh.world, optimizer))!;
  await Promise.all(others);
  for (const [rank, { m, v }] of shards.entries()) {
    assert.equal([await m.read(), await v.read()], written[rank], `moments of rank ${rank}`);
    for (const tensor of [m, v]) tensor.release();
  }
  assert.is(shards.length, 3);
  for (const { device } of ranks) device.close();
});

test('moments that every rank holds ~> nobody waits for anybody', async () => {
  const ranks = await openTrainingRanks(
    { ...job, parallel: { ...job.parallel, zero: 0 } },
    { lengths: [48, 48], strategy: 'ring' },
  );
  const [first, second] = ranks.map(({ mesh, optimizer }) => gatherMoments(mesh.world, optimizer));
  assert.is(await second, null);
  const [own, ...more] = (await first)!;
  assert.is(own!.m.id, ranks[0]!.optimizer.moments.m.id);
  assert.is(more.length, 0);
  for (const tensor of [own!.m, own!.v]) tensor.release();
  for (const { device } of ranks) device.close();
});

test.run();
