import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PerRankStep } from '@longscan/worker/protocol';
import { testOnGpu } from '@longscan/worker/testing/gpu';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { listUnits } from '../units.js';
import { bytesOf, Workshop } from './small-job.js';

// Jobs whose passes are CUDA graphs, beside the same jobs kernel by kernel.

const workshop = new Workshop();
test.after(() => workshop.remove());

const gpu = {
  'device.kind': 'cuda',
  'device.share': true,
  'model.precision': 'bf16',
  'checkpoint.every': 8,
  'data.validateEvery': 6,
};

const logOf = (runDir: string): string => readFileSync(join(runDir, 'logs', 'rank-0.log'), 'utf8');

const sentBy = (row: PerRankStep | null) => [row?.spBytesSentForward, row?.spBytesSentBackward];

/** Trains the job both ways. */
async function expectSame(name: string, overrides: Readonly<Record<string, unknown>>): Promise<void> {
  const job = { ...gpu, ...overrides };
  const [graphs, plain] = await Promise.all([
    workshop.train(`${name}-graphs`, job),
    workshop.train(`${name}-plain`, { ...job, 'device.graphs': false }),
  ]);
  const seen = ({ steps, result }: typeof graphs) => [
    steps.map(({ loss, gradNorm, perRank }) => [loss, gradNorm, perRank.map(sentBy)]),
    result.validationLoss,
  ];
  assert.equal(seen(graphs), seen(plain));
  const saved = ({ result }: typeof graphs) => bytesOf(result.checkpoint!, 'parameters');
  assert.ok(saved(graphs).equals(saved(plain)), 'parameters differ');
  assert.not.match(logOf(graphs.run.dir), /graphs/i, 'the log says that there are none');
}

testOnGpu('validation and checkpoints between steps ~> the same bits', () => expectSame('one', {}));

testOnGpu('packed documents, micro-batches ~> the same bits', () =>
  expectSame('packed', {
    'data.separator': 'the ',
    'data.packing': true,
    'data.batchSize': 2,
    'data.accumulate': 2,
  }),
);

testOnGpu(
  'two ranks with sequences of their own, and the optimizer sharded over them ~> the same bits',
  async () => {
    const dp = { 'parallel.sp': 1, 'parallel.dp': 2, 'data.batchSize': 2 };
    await expectSame('dp', dp);
    await expectSame('sharded', { ...dp, 'parallel.zero': 1 });
  },
);

testOnGpu('gradients summed in buckets between the pieces of a graph ~> the same bits', async () => {
  const dp = { 'parallel.sp': 1, 'parallel.dp': 2, 'data.batchSize': 4, 'data.accumulate': 2 };
  const buckets = { ...dp, 'parallel.gradientBucket': '16KiB', 'job.steps': 8 };
  for (const zero of [0, 1]) await expectSame(`buckets-${zero}`, { ...buckets, 'parallel.zero': zero });
});

testOnGpu('a timeline is of kernels, and its job goes on the same', async () => {
  await expectSame('traced', { 'job.trace': '5-7' });
});

// Halos, scalar, diagonal and dense transitions, an opaque recurrence.
const mixed = {
  'model.layers': ['gla', 'linear-attention', 'gated-deltanet', 'slstm'],
  'model.numLayers': 4,
};

for (const strategy of listUnits('sp')) {
  const sp = { 'parallel.sp': 2, 'parallel.ranksPerNode': 2, 'parallel.strategy': strategy, 'job.steps': 8 };
  const layers = strategy === 'ring' ? mixed : {};
  testOnGpu(`ranks that share a sequence, ${strategy} ~> the same bits, as many bytes sent`, () =>
    expectSame(strategy, { ...sp, ...layers }),
  );
}

for (const unit of listUnits('attention-strategies')) {
  testOnGpu(`softmax layers of ranks that share a sequence, ${unit} ~> the same bits`, () =>
    expectSame(unit, {
      'parallel.sp': 2,
      'parallel.attentionStrategy': unit,
      'model.layers': ['gla', 'softmax-attention'],
      'model.numLayers': 2,
      'job.steps': 8,
    }),
  );
}

for (const zero of [0, 1]) {
  testOnGpu(`replicas of ranks that share a sequence, sums in buckets, zero ${zero} ~> the same bits`, () =>
    expectSame(`mesh-${zero}`, {
      'parallel.sp': 2,
      'parallel.dp': 2,
      'parallel.zero': zero,
      'parallel.gradientBucket': '16KiB',
      'data.batchSize': 4,
      'data.accumulate': 2,
      'job.steps': 8,
    }),
  );
}

test.run();
