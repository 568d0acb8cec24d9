import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { bytesOf, stepRows, Workshop } from './small-job.js';

const workshop = new Workshop();
test.after(() => workshop.remove());

const sp2 = { 'parallel.sp': 2 };

test('resume ~> 20 steps are 10 steps and 10 more in new processes, bit for bit', async () => {
  const straight = await workshop.train('straight', { ...sp2, 'checkpoint.every': 10 });
  const stopped = await workshop.launch('stopped', sp2);
  for await (const { step } of stopped.steps()) if (step === 9) break;
  await stopped.stop({ save: true });
  const { step, checkpoint } = await stopped.done;
  assert.ok(step >= 9 && step < 20, `stopped after ${step}`);
  assert.ok(checkpoint);

  const resumed = await workshop.train('stopped', sp2, { resume: 'auto' });
  assert.is(resumed.result.step, 20);
  for (const file of ['parameters', 'optimizer'] as const) {
    assert.ok(
      bytesOf(resumed.result.checkpoint!, file).equals(bytesOf(straight.result.checkpoint!, file)),
      file,
    );
  }
  const losses = (dir: string) => stepRows(dir).map((row) => row.loss);
  assert.equal(losses(resumed.run.dir), losses(straight.run.dir));

  // The same checkpoint under other numbers of ranks goes on with the same losses, up to rounding.
  for (const sp of [1, 4]) {
    const other = await workshop.branch(`from-2-to-${sp}`, straight, 10, { 'parallel.sp': sp });
    assert.is(other.result.step, 20);
    for (const row of other.steps) {
      const expected = straight.steps[row.step - 1]!.loss!;
      assert.ok(Math.abs(row.loss! / expected - 1) < 1e-4, `sp=${sp} step ${row.step}: ${row.loss}`);
    }
  }
  // What the backward pass computes again changes no bit.
  const recomputing = { 'model.recompute': 'cheap', 'model.recomputedBlocks': 1 };
  const other = await workshop.branch('recomputing', straight, 10, { ...sp2, ...recomputing });
  const ownRows = other.steps.filter(({ attempt }) => attempt === 2);
  assert.equal(
    ownRows.map(({ step, loss }) => [step, loss]),
    straight.steps.slice(10).map(({ step, loss }) => [step, loss]),
  );
});

test('resume ~> memory that steps carry over is in the checkpoint, across the end of an epoch too', async () => {
  // Two rows of 14 steps each.
  const carry = { 'data.carry': true, 'data.batchSize': 2, 'checkpoint.every': 10 };
  const straight = await workshop.train('carry', { ...sp2, ...carry });
  for (const sp of [2, 1]) {
    const resumed = await workshop.branch(`carry-${sp}`, straight, 10, { 'parallel.sp': sp, ...carry });
    for (const row of resumed.steps) {
      const expected = straight.steps[row.step - 1]!.loss!;
      if (sp === 2) assert.is(row.loss, expected, `step ${row.step}`);
      else assert.ok(Math.abs(row.loss! / expected - 1) < 1e-4, `step ${row.step}: ${row.loss}`);
    }
    assert.is(resumed.result.step, 20);
  }
});

test.run();
