import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { StandingRanks } from '../testing/standing-ranks.js';
import { bytesOf, Workshop } from './small-job.js';

// Moments in bf16, from the job file to the checkpoint.

const workshop = new Workshop(new StandingRanks());
test.after(() => workshop.remove());

// v decays by a thousandth a step; the gradient's norm, which ranks add in orders of their own, scales nothing.
const job = { 'optimizer.betas': [0.9, 0.999], 'optimizer.clipNorm': 0, 'checkpoint.every': 10 };
const rounded = { ...job, 'optimizer.moments': 'bf16' };
// A sum of two numbers has one order.
const two = { 'parallel.dp': 2, 'data.batchSize': 2 };

function expectSameBits(found: string | null, expected: string | null): void {
  for (const file of ['parameters', 'optimizer'] as const) {
    assert.ok(bytesOf(found!, file).equals(bytesOf(expected!, file)), file);
  }
}

test('moments in bf16 ~> the bits of one optimizer when sharded, and of a run that was not interrupted when resumed, whoever resumes it', async () => {
  const whole = await workshop.train('whole', { ...rounded, ...two });
  const sharded = await workshop.train('sharded', { ...rounded, ...two, 'parallel.zero': 1 });
  expectSameBits(sharded.result.checkpoint, whole.result.checkpoint);
  for (const [from, zero] of [
    [whole, 0],
    [whole, 1],
    [sharded, 0],
  ] as const) {
    const name = `from-${from === whole ? 'whole' : 'sharded'}-${zero}`;
    const overrides = { ...rounded, ...two, 'parallel.zero': zero };
    const resumed = await workshop.branch(name, from, 10, overrides);
    assert.is(resumed.result.step, 20);
    expectSameBits(resumed.result.checkpoint, whole.result.checkpoint);
  }
});

test('moments in bf16, deterministic ~> the bits of one rank on two', async () => {
  const deterministic = { ...rounded, 'job.deterministic': true, 'job.steps': 10 };
  const [one, another] = [
    await workshop.train('alone', deterministic),
    await workshop.train('cut', { ...deterministic, 'parallel.sp': 2 }),
  ];
  expectSameBits(another.result.checkpoint, one.result.checkpoint);
});

test('moments in bf16 ~> losses near those of f32, and half of a checkpoint of moments', async () => {
  const expected = await workshop.train('f32', job);
  const found = await workshop.train('bf16', rounded);
  for (const { step, loss } of found.steps) {
    const ratio = loss! / expected.steps[step - 1]!.loss!;
    assert.ok(Math.abs(ratio - 1) < 1e-2, `step ${step}: ${ratio}`);
  }
  assert.not.equal(
    found.steps.map(({ loss }) => loss),
    expected.steps.map(({ loss }) => loss),
  );
  const [half, full] = [found, expected].map(({ result }) => bytesOf(result.checkpoint!, 'optimizer').length);
  assert.ok(half! < 0.6 * full!, `${half} of ${full} bytes`);
});

test('a checkpoint with moments of the other type ~> goes on, and says so', async () => {
  for (const [name, before, after, change] of [
    ['to-bf16', job, rounded, /its moments, in f32, are held in bf16 from here on/],
    ['to-f32', rounded, job, /its moments, in bf16, are held in f32 from here on/],
  ] as const) {
    const first = await workshop.train(`${name}-first`, before);
    const resumed = await workshop.branch(name, first, 10, after);
    for (const { step, loss } of resumed.steps) {
      const ratio = loss! / first.steps[step - 1]!.loss!;
      assert.ok(Math.abs(ratio - 1) < 1e-2, `step ${step}: ${ratio}`);
    }
    const log = readFileSync(join(resumed.run.dir, 'logs', 'rank-0.log'), 'utf8');
    assert.match(log, change);
  }
});

test.run();
