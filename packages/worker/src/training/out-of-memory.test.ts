import { LongscanError, openShapeDevice } from '@longscan/kernels';
import { failureOf, withFakeGpu } from '@longscan/kernels/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { jobSpecSchema } from '../protocol/job-spec.js';
import type { Plan } from '../protocol/plan.js';
import { withMemory } from '../schedule/step-memory.js';
import { plainPlan } from '../testing/plain-plan.js';
import { explainShortage, requireRoom } from './out-of-memory.js';

const sequenceLength = 4096;

function planOf(numLayers: number): Promise<Plan> {
  const layers = Array.from({ length: numLayers }, () => ({ use: 'gla', options: {}, file: null }));
  const jobSpec = jobSpecSchema.parse({
    model: { dModel: 64, numLayers, numHeads: 2, vocabSize: 256, mlp: 128, layers, precision: 'bf16' },
    data: { path: 'unused', sequenceLength },
    device: { kind: 'cuda', engine: 'nccl' },
  });
  return withMemory(plainPlan(jobSpec, { strategy: 'ring' }));
}

const shortage = new LongscanError({
  code: 'E-MEMORY',
  where: 'native',
  found: 'tensorCreate: out of memory: 8 bytes asked for',
  fix: 'something',
  exitCode: 3,
});

test('what does not fit ~> its parts, and the mildest settings that fit', async () => {
  const plan = await planOf(4);
  const { peakBytes } = plan.perRank;
  // Less than all of it, more than half of the sequence takes.
  await withFakeGpu({ fake: `bytes=${Math.round(0.9 * peakBytes)}` }, async (device) => {
    const { message, exitCode } = (await explainShortage(shortage, plan, device, {})) as LongscanError;
    assert.is(exitCode, 3);
    assert.match(
      message,
      /8 bytes asked for; by the plan a rank holds up to [\d.]+ MiB: activations [\d.]+ MiB/,
    );
    assert.match(
      message,
      /Fix: model\.recompute = "cheap" \([\d.]+ MiB\), or model\.timeSlice = 2048 \([\d.]+ MiB\), or parallel\.sp = 2 on 2 GPUs in place of 1 \([\d.]+ MiB\)$/,
    );
    assert.not.match(message, /something/);
  });
});

test('a plan for more than the GPU has in all is refused before anything is allocated', async () => {
  const plan = await planOf(4);
  const { peakBytes } = plan.perRank;
  await withFakeGpu({ fake: `bytes=${peakBytes}` }, (device) => requireRoom(plan, device));
  requireRoom(plan, openShapeDevice());
  await withFakeGpu({ fake: `bytes=${peakBytes - 1}` }, async (device) => {
    const refused = failureOf(() => requireRoom(plan, device));
    const { message, exitCode } = (await explainShortage(refused, plan, device, {})) as LongscanError;
    assert.is(exitCode, 3);
    assert.match(
      message,
      /^error\[E-MEMORY\] training: [\d.]+ MiB in all on Fake GPU; by the plan a rank holds up to [\d.]+ MiB: .*Fix: model/,
    );
  });
});

test('where no setting helps that is said', async () => {
  const plan = await planOf(4);
  await withFakeGpu({ fake: 'bytes=100000' }, async (device) => {
    const { message } = (await explainShortage(shortage, plan, device, {})) as LongscanError;
    assert.match(message, /Fix: a smaller model, or parallel\.zero = 1/);
  });
});

test('other errors stay as they are', async () => {
  const other = new TypeError('no shortage');
  assert.is(await explainShortage(other, await planOf(1), openShapeDevice(), {}), other);
});

test.run();
