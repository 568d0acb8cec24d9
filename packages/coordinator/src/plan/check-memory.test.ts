import { neededBytes } from '@longscan/worker';
import { type JobSpec, jobSpecSchema, LongscanError } from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadFabric } from '../fabric/load-fabric.js';
import { checkMemory } from './check-memory.js';
import { planJob, planMemory } from './plan-job.js';

const jobSpec = jobSpecSchema.parse({
  model: {
    ...{ dModel: 64, mlp: 192, numHeads: 2, chunk: 16 },
    layers: ['gla', 'lightning'].map((use) => ({ use, options: {}, file: null })),
  },
  data: { path: 'unused', sequenceLength: 16_384, batchSize: 2 },
  parallel: { sp: 2 },
});

const limitOf = (bytes: number) => () => ({ bytes, reason: 'for this test' });

async function refusalOf(bytes: number): Promise<LongscanError> {
  const plan = await planJob(jobSpec);
  try {
    await checkMemory(plan, {}, limitOf(bytes));
  } catch (error) {
    if (error instanceof LongscanError) return error;
    throw error;
  }
  throw new Error('expected a refusal');
}

test('a plan that fits ~> nothing', async () => {
  await checkMemory(await planJob(jobSpec), {}, limitOf(2 ** 40));
  await checkMemory(await planJob(jobSpec), {}, () => null);
});

test('a plan that does not fit ~> of what it consists, and three settings that do', async () => {
  const limit = 260 * 2 ** 20;
  const { message, exitCode, parts } = await refusalOf(limit);
  assert.is(exitCode, 2);
  assert.match(
    message,
    /^error\[E-PLAN-MEMORY\] device\.memory: each of 2 ranks needs [\d.]+ MiB: [\d.]+ MiB of tensors at the peak \(parameters .*, gradients .*, optimizer .*, activations .*, communication .*\), .* of the process, expected at most 260\.0 MiB \(for this test\)\. Fix: /,
  );
  const settings = [...parts.fix!.matchAll(/(?:^|or )(\w+)\.(\w+) = ("?\w+"?).*?\((\S+) MiB\)/g)];
  assert.is(settings.length, 3, parts.fix);
  for (const [, section, key, value, mebibytes] of settings) {
    const changed = {
      ...jobSpec,
      [section!]: { ...jobSpec[section as 'model'], [key!]: JSON.parse(value!) },
    } as JobSpec;
    await checkMemory(await planJob(changed), {}, limitOf(limit));
    assert.ok(Number(mebibytes) <= 260, mebibytes);
  }
});

test('an estimate ~> what the whole plan needs, or somewhat less', async () => {
  const links = loadFabric('loopback-tcp');
  const { model, data, parallel } = jobSpec;
  for (const changed of [
    jobSpec,
    { ...jobSpec, parallel: { ...parallel, sp: 4, ranksPerNode: 2 } },
    { ...jobSpec, parallel: { ...parallel, strategy: 'all-gather' } },
    { ...jobSpec, parallel: { ...parallel, zero: 1 } },
    { ...jobSpec, model: { ...model, recompute: true } as const },
    { ...jobSpec, parallel: { ...parallel, sp: 1 }, model: { ...model, timeSlice: 512 } },
    { ...jobSpec, parallel: { ...parallel, sp: 1 }, model: { ...model, timeSlice: 256, keptMlps: 1 } },
    { ...jobSpec, data: { ...data, sequenceLength: 1000 } },
  ] satisfies JobSpec[]) {
    const [whole, estimated] = [await planJob(changed, {}, links), await planMemory(changed, {}, links)];
    const ratio = neededBytes(estimated) / neededBytes(whole);
    assert.ok(ratio > 0.9 && ratio < 1.01, `${ratio}`);
  }
});

test('a plan that nothing makes fit ~> that is said', async () => {
  assert.match(
    (await refusalOf(2 ** 20)).message,
    /Fix: a smaller model, or parallel\.zero = 1 over more ranks/,
  );
});

test.run();
