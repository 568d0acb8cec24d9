import { join } from 'node:path';
import { testOnGpu } from '@longscan/worker/testing/gpu';
import { readTraceFile } from '@longscan/worker/testing/trace';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Workshop } from './small-job.js';

// Gradients summed by NCCL beside the backward pass, of ranks that share a GPU.

const workshop = new Workshop();
test.after(() => workshop.remove());

const gpu = {
  ...{ 'device.kind': 'cuda', 'device.share': true, 'job.steps': 6, 'model.dModel': 64 },
  'model.layers': ['gla', 'linear-attention', 'gated-deltanet'],
  ...{ 'data.batchSize': 2, 'parallel.sp': 2 },
};
const buckets = { ...gpu, 'parallel.gradientBucket': '16KiB' };

for (const precision of ['f32', 'bf16']) {
  testOnGpu(`two ranks, ${precision} ~> the losses of sums at the end, bit for bit`, async () => {
    const model = { 'model.precision': precision };
    const [whole, cut, sharded] = await Promise.all([
      workshop.train(`whole-${precision}`, { ...gpu, ...model }),
      workshop.train(`cut-${precision}`, { ...buckets, ...model }),
      workshop.train(`sharded-${precision}`, { ...buckets, ...model, 'parallel.zero': 1 }),
    ]);
    const losses = ({ steps }: typeof whole) => steps.map(({ loss }) => loss);
    assert.equal(losses(cut), losses(whole));
    // The squared norm is added up bucket by bucket.
    sharded.steps.forEach(({ step, loss }, i) => {
      assert.ok(Math.abs(loss! / whole.steps[i]!.loss! - 1) < 1e-4, `sharded, step ${step}: ${loss}`);
    });
  });
}

testOnGpu('a traced run ~> a sum for each bucket, in one order on both ranks', async () => {
  const { run } = await workshop.train('traced', { ...buckets, 'job.trace': '4-5' });
  const spansOf = (rank: number) => readTraceFile(join(run.dir, 'traces', `rank-${rank}.json`)).spans;
  const sumsOf = (rank: number) =>
    spansOf(rank).flatMap(({ cat, thread, name }) =>
      cat === 'collective' && thread === 'world' ? [name] : [],
    );
  // A bucket for each of three blocks and the embedding, then loss and wishes: twice.
  assert.ok(sumsOf(0).length >= 10, `${sumsOf(0)}`);
  assert.equal(sumsOf(1), sumsOf(0));
});

testOnGpu(
  'a rank killed with sums under way ~> the job ends naming it, its deadlines hours away',
  async () => {
    const { error } = await workshop.killRank('killed', 1, buckets);
    assert.is(error.exitCode, 8);
    assert.is(error.rank, 1);
  },
);

test.run();
