import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readTraceFile } from '@longscan/worker/testing/trace';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { StandingRanks } from '../testing/standing-ranks.js';
import { listUnits } from '../units.js';
import { bytesOf, Workshop } from './small-job.js';

// Gradients summed over ranks, each in a process of its own, beside the backward pass.

const workshop = new Workshop(new StandingRanks());
test.after(() => workshop.remove());

const job = { 'data.batchSize': 2, 'job.steps': 6 };
const buckets = { ...job, 'parallel.gradientBucket': '8KiB' };

test('every strategy, sharded or not ~> the losses of one rank', async () => {
  const single = await workshop.train('one', job);
  for (const zero of [0, 1]) {
    const parallel = { 'parallel.sp': 2, 'parallel.blocks': 3, 'parallel.zero': zero };
    for (const strategy of listUnits('sp')) {
      const overrides = { ...buckets, ...parallel, 'parallel.strategy': strategy };
      const { steps } = await workshop.train(`zero-${zero}-${strategy}`, overrides);
      assert.is(steps.length, 6);
      for (const [i, { step, loss }] of steps.entries()) {
        const ratio = loss! / single.steps[i]!.loss!;
        assert.ok(Math.abs(ratio - 1) < 1e-4, `zero ${zero}, ${strategy}, step ${step}: ${loss}`);
      }
    }
  }
});

test('two ranks ~> the bits of sums at the end, in losses, parameters and moments', async () => {
  const mesh = { 'parallel.sp': 2, 'checkpoint.every': 6 };
  const whole = await workshop.train('whole', { ...job, ...mesh });
  const cut = await workshop.train('cut', { ...buckets, ...mesh });
  const losses = ({ steps }: typeof whole) => steps.map(({ loss, gradNorm }) => [loss, gradNorm]);
  assert.equal(losses(cut), losses(whole));
  for (const file of ['parameters', 'optimizer'] as const) {
    const [a, b] = [cut, whole].map(({ result }) => bytesOf(result.checkpoint!, file));
    assert.ok(a!.equals(b!), `${file} of the checkpoint`);
  }
});

test('dp x sp, micro-batches ~> the losses of one rank; a checkpoint goes on with other buckets, or sharded', async () => {
  const more = { 'data.batchSize': 4, 'job.steps': 8 };
  const mesh = { ...buckets, ...more, 'parallel.sp': 2, 'parallel.dp': 2, 'data.accumulate': 2 };
  const single = await workshop.train('mesh-single', { ...job, ...more });
  for (const zero of [0, 1]) {
    const sharded = { ...mesh, 'parallel.zero': zero };
    const { steps } = await workshop.train(`mesh-${zero}`, sharded);
    const first = await workshop.train(`first-${zero}`, { ...sharded, 'checkpoint.every': 4 });
    const { steps: later } = await workshop.branch(`later-${zero}`, first, 4, {
      ...sharded,
      'parallel.zero': 1 - zero,
      'parallel.gradientBucket': zero === 0 ? '20KiB' : '0B',
    });
    for (const [i, { loss }] of single.steps.entries()) {
      for (const found of [steps[i]!, ...later.filter(({ step }) => step === i + 1)]) {
        assert.ok(Math.abs(found.loss! / loss! - 1) < 1e-4, `zero ${zero}, step ${i + 1}: ${found.loss}`);
      }
    }
    assert.is(later.at(-1)!.step, 8);
  }
});

test('a traced run ~> a sum for each bucket, in the same order on all ranks', async () => {
  const mesh = { ...buckets, 'parallel.sp': 2, 'parallel.dp': 2, 'job.trace': '3' };
  const { run } = await workshop.train('traced', mesh);
  const sumsOf = (rank: number) => {
    const { spans } = readTraceFile(join(run.dir, 'traces', `rank-${rank}.json`));
    return spans.filter(({ cat, thread }) => cat === 'collective' && thread === 'world');
  };
  const names = sumsOf(0).map(({ name }) => name);
  const log = readFileSync(join(run.dir, 'logs', 'rank-0.log'), 'utf8');
  const numBuckets = Number(/gradients are summed over ranks in (\d+) buckets/.exec(log)![1]);
  // A bucket for each of three blocks and the embedding at least.
  assert.ok(numBuckets >= 4);
  assert.is(names.length, numBuckets + 1, 'then loss and wishes');
  for (const rank of [1, 2, 3]) {
    assert.equal(
      sumsOf(rank).map(({ name }) => name),
      names,
    );
  }
});

test('a rank killed with sums under way ~> the job ends naming it', async () => {
  const { error } = await workshop.killRank('killed', 2, { ...buckets, 'parallel.sp': 2, 'parallel.dp': 2 });
  assert.is(error.exitCode, 8);
  assert.is(error.rank, 2);
});

test.run();
