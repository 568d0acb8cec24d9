import { LongscanError, type StepRow } from '@longscan/worker/protocol';
import { testOnGpu } from '@longscan/worker/testing/gpu';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { runTask } from '../run-task.js';
import { Workshop } from './small-job.js';

// Jobs on a GPU, from the job file to the checkpoint, beside the same jobs on the CPU.

// A GPU host has no oneDNN.
process.env.LONGSCAN_GEMM ??= 'builtin';

const workshop = new Workshop();
test.after(() => workshop.remove());

/** A hybrid of every kind of transition. */
const layers = ['gla', 'linear-attention', 'gated-deltanet', 'mamba2', 'softmax-attention'];
const model = {
  'model.layers': layers,
  'model.numLayers': layers.length,
  'model.dModel': 128,
  'model.mlp': 128,
};
const cpu = { ...model, 'device.threads': 8 };
const gpu = { ...model, 'device.kind': 'cuda' };

/** The largest of |found / expected - 1| over the steps. */
function worstRatio(found: readonly number[], expected: readonly number[]): number {
  return Math.max(...expected.map((loss, i) => Math.abs(found[i]! / loss - 1)));
}

const lossesOf = (steps: readonly StepRow[]): number[] => steps.map(({ loss }) => loss!);

async function failureOf(name: string, overrides: Readonly<Record<string, unknown>>): Promise<LongscanError> {
  try {
    await workshop.train(name, overrides);
  } catch (error) {
    if (error instanceof LongscanError) return error;
    throw error;
  }
  throw new Error('the run ended well');
}

testOnGpu('f32 ~> the losses of the CPU over 20 steps', async () => {
  const expected = await workshop.train('cpu', cpu);
  const found = await workshop.train('gpu', gpu);
  const worst = worstRatio(lossesOf(found.steps), lossesOf(expected.steps));
  assert.ok(worst < 1e-4, `losses differ by ${worst}, relative`);
  assert.ok(
    Math.abs(found.result.validationLoss! / expected.result.validationLoss! - 1) < 1e-4,
    'validation',
  );
});

testOnGpu('bf16 ~> the loss curve of f32 within 1 % over 200 steps, and flat memory', async () => {
  const long = { ...gpu, 'job.steps': 200 };
  const single = await workshop.train('f32-long', long);
  const rounded = await workshop.train('bf16-long', { ...long, 'model.precision': 'bf16' });
  const worst = worstRatio(smoothed(rounded.steps), smoothed(single.steps));
  assert.ok(worst < 1e-2, `curves differ by ${worst}, relative`);
  for (const { steps } of [single, rounded]) {
    assert.is(new Set(steps.slice(3).map(({ peakBytes }) => peakBytes)).size, 1, 'memory grows');
  }
});

testOnGpu('moments in bf16 ~> the loss curve of moments in f32 within 1 % over 200 steps', async () => {
  const long = { ...gpu, 'job.steps': 200, 'model.precision': 'bf16', 'optimizer.betas': [0.9, 0.999] };
  const single = await workshop.train('f32-moments', long);
  const rounded = await workshop.train('bf16-moments', { ...long, 'optimizer.moments': 'bf16' });
  // Curves of one seed that are rounded differently part by more from step to step.
  const worst = worstRatio(smoothed(rounded.steps, 50), smoothed(single.steps, 50));
  assert.ok(worst < 1e-2, `curves differ by ${worst}, relative`);
});

/** Means over so many steps. */
function smoothed(steps: readonly StepRow[], count = 10): number[] {
  const losses = lossesOf(steps);
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  return Array.from({ length: losses.length / count }, (_, i) =>
    mean(losses.slice(count * i, count * (i + 1))),
  );
}

testOnGpu('recomputation ~> the same bits, and so does the same job again', async () => {
  const bf16 = { ...gpu, 'model.precision': 'bf16' };
  const [first, again, recomputed] = [
    await workshop.train('kept', bf16),
    await workshop.train('again', bf16),
    await workshop.train('recomputed', { ...bf16, 'model.recompute': true }),
  ];
  assert.equal(lossesOf(again.steps), lossesOf(first.steps));
  assert.equal(lossesOf(recomputed.steps), lossesOf(first.steps));
});

testOnGpu('a checkpoint of a GPU ~> goes on there in another precision, and on the CPU', async () => {
  const constant = { 'optimizer.schedule': 'constant' };
  const straight = await workshop.train('straight', { ...gpu, ...constant });
  const half = await workshop.train('half', { ...gpu, ...constant, 'job.steps': 10 });
  for (const [name, device, tolerance] of [
    ['on-gpu', gpu, 1e-6],
    ['on-cpu', cpu, 1e-4],
    ['in-bf16', { ...gpu, 'model.precision': 'bf16' }, 1e-2],
  ] as const) {
    const resumed = await workshop.branch(name, half, 10, { ...device, ...constant });
    assert.is(resumed.result.step, 20, name);
    const last = ({ steps }: typeof resumed) => lossesOf(steps).slice(-10);
    const worst = worstRatio(last(resumed), last(straight));
    assert.ok(worst < tolerance, `${name}: losses differ by ${worst}, relative`);
  }
  const task = { kind: 'generate', prompt: 'the whale ', numTokens: 8, temperature: 0, seed: 0 } as const;
  const texts = [];
  for (const device of ['cpu', 'cuda'] as const) {
    texts.push((await runTask({ ...task, device, checkpoint: straight.result.checkpoint! })).text);
  }
  assert.is(texts[1], texts[0]);
});

testOnGpu(
  'a loss that is not finite ~> E-DIVERGED, exit code 5, with a step under way behind it',
  async () => {
    const huge = { ...gpu, 'optimizer.lr': 1e30, 'optimizer.warmupSteps': 0 };
    // Clipping takes the norm before the update, none beside it.
    for (const clipNorm of [1, 0]) {
      const error = await failureOf(`diverged-${clipNorm}`, { ...huge, 'optimizer.clipNorm': clipNorm });
      assert.is(error.exitCode, 5);
      assert.match(error.message, /E-DIVERGED.*step \d/);
    }
  },
);

testOnGpu('more ranks than GPUs ~> said before anything is connected, exit code 3', async () => {
  const error = await failureOf('too-many', { ...gpu, 'parallel.sp': 16 });
  assert.is(error.exitCode, 3);
  assert.match(error.message, /E-CUDA-GPUS.* for 16 ranks, expected one for each\. Fix: .*device\.share/);
});

testOnGpu('what does not fit ~> E-MEMORY with a breakdown and settings, exit code 3', async () => {
  // Few parameters, so that there is room for checkpoints of them, and 64 GiB for each activation of the MLP.
  const huge = {
    ...{ ...gpu, 'model.layers': 'linear-attention', 'model.numLayers': 1, 'model.dModel': 64 },
    ...{ 'model.mlp': 2 ** 20, 'data.sequenceLength': 16_384, 'data.validation': 0 },
  };
  const error = await failureOf('huge', huge);
  assert.is(error.exitCode, 3);
  assert.match(error.message, /E-MEMORY.*activations [\d.]+ GiB.*Fix: .*(model\.recompute|parallel\.sp)/);
});

test.run();
