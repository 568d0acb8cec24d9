import { testOnGpu } from '@longscan/worker/testing/gpu';
import { exposedMsOf, readTraceFile } from '@longscan/worker/testing/trace';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { mergeTraces } from '../run-folder/merge-traces.js';
import { listUnits } from '../units.js';
import { failureOf, Workshop } from './small-job.js';

// Jobs of several ranks that share a GPU, over NCCL.

const workshop = new Workshop();
test.after(() => workshop.remove());

const gpu = {
  'device.kind': 'cuda',
  'device.share': true,
  'job.steps': 6,
  'model.dModel': 64,
  // Halos, scalar, diagonal and dense transitions.
  'model.layers': ['gla', 'linear-attention', 'gated-deltanet'],
};

/** Relative. A norm, of numbers of both signs, is a steeper function of weights that differ by rounding. */
const tolerances = { loss: 1e-4, gradNorm: 1e-3 };

type Overrides = Readonly<Record<string, unknown>>;

/** Trains a job on one rank and on these others, beside each other, and compares losses and gradients' norms. */
async function expectSameSteps(
  name: string,
  common: Overrides,
  jobs: Readonly<Record<string, Overrides>>,
): Promise<void> {
  const single = await workshop.train(`${name}-1`, { ...gpu, ...common, 'parallel.sp': 1 });
  await Promise.all(
    Object.entries(jobs).map(async ([job, parallel]) => {
      const { steps } = await workshop.train(`${name}-${job}`, { ...gpu, ...common, ...parallel });
      assert.is(steps.length, single.steps.length);
      steps.forEach(({ step, ...found }, i) => {
        for (const what of ['loss', 'gradNorm'] as const) {
          const ratio = found[what]! / single.steps[i]![what]!;
          const text = `${job}, step ${step}: ${what} ${found[what]}, ${ratio} of one rank's`;
          assert.ok(Math.abs(ratio - 1) < tolerances[what], text);
        }
      });
    }),
  );
}

/** A job for each unit of a folder. */
function jobsOf(folder: 'sp' | 'attention-strategies', key: string, sp: number): Record<string, Overrides> {
  const parallel = { 'parallel.sp': sp, 'parallel.blocks': 3, 'parallel.ranksPerNode': 2 };
  return Object.fromEntries(listUnits(folder).map((unit) => [`${unit}-${sp}`, { ...parallel, [key]: unit }]));
}

for (const sp of [2, 4]) {
  testOnGpu(`${sp} ranks on a GPU ~> the losses of one, under every strategy`, () =>
    expectSameSteps(`sp${sp}`, {}, jobsOf('sp', 'parallel.strategy', sp)),
  );
}

testOnGpu('softmax layers on 2 ranks ~> the losses of one, under every strategy of theirs', () =>
  expectSameSteps(
    'softmax',
    { 'model.layers': ['gla', 'softmax-attention'], 'model.numLayers': 2 },
    jobsOf('attention-strategies', 'parallel.attentionStrategy', 2),
  ),
);

// Clipping takes the norm before the update, none beside it: ranks add theirs at other places.
for (const clipNorm of [1, 0]) {
  testOnGpu(
    `dp x sp, and the optimizer sharded over both, clipNorm ${clipNorm} ~> losses and norms of one rank`,
    () =>
      expectSameSteps(
        `mesh-${clipNorm}`,
        { 'data.batchSize': 2, 'optimizer.clipNorm': clipNorm },
        {
          mesh: { 'parallel.sp': 2, 'parallel.dp': 2 },
          sharded: { 'parallel.sp': 2, 'parallel.dp': 2, 'parallel.zero': 1 },
        },
      ),
  );
}

testOnGpu('a killed rank ~> the job ends naming it, its deadlines hours away', async () => {
  const { error } = await workshop.killRank('killed', 1, { ...gpu, 'parallel.sp': 3 });
  assert.is(error.exitCode, 8);
  assert.match(error.message, /rank 1 .*SIGKILL/);
});

testOnGpu('no NCCL ~> E-NCCL with what was tried, exit code 3', async () => {
  const before = process.env.LONGSCAN_NCCL;
  process.env.LONGSCAN_NCCL = '/nowhere/libnccl.so.2';
  try {
    const error = await failureOf(workshop.train('no-nccl', { ...gpu, 'parallel.sp': 2 }));
    assert.is(error.exitCode, 3);
    assert.match(error.message, /E-NCCL.*Tried: \/nowhere\/libnccl\.so\.2.*Fix/);
  } finally {
    if (before === undefined) delete process.env.LONGSCAN_NCCL;
    else process.env.LONGSCAN_NCCL = before;
  }
});

testOnGpu('a traced run ~> what compute waited for, in metrics.jsonl as in the trace', async () => {
  const job = { ...gpu, 'parallel.sp': 2, 'parallel.strategy': 'ring', 'job.trace': '3-5' };
  const { run, steps } = await workshop.train('traced', job);
  const merged = (await mergeTraces(run.dir))!;
  assert.equal(merged.notes, []);
  const trace = readTraceFile(merged.path);
  assert.ok(trace.numArrows > 0);
  for (const { step, perRank } of steps) {
    for (const [rank, row] of perRank.entries()) {
      const reported = row!.spExposedMs!;
      assert.type(reported, 'number');
      if (step < 3 || step > 5) continue;
      const sum = exposedMsOf(trace, rank, step);
      assert.ok(reported > 0 && Math.abs(sum - reported) < 1e-3, `${sum} in the trace, ${reported} reported`);
    }
  }
});

test.run();
