import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { runTask } from '../run-task.js';
import { StandingRanks } from '../testing/standing-ranks.js';
import { Workshop } from './small-job.js';

const workshop = new Workshop(new StandingRanks());
test.after(() => workshop.remove());

const job = {
  'model.objective': 'masked',
  'model.layers': ['mamba2', 'linear-attention', 'softmax-attention'],
  'data.maskRate': 0.3,
  'data.sequenceLength': 700,
  'job.steps': 12,
};

const whole = { ...job, 'parallel.sp': 2, 'data.sequenceLength': 704 };

test('masked ~> two ranks have the losses of one, and whoever goes on from a checkpoint has them too', async () => {
  const single = await workshop.train('single', job);
  const pair = await workshop.train('pair', { ...job, 'parallel.sp': 2, 'checkpoint.every': 6 });
  const resumed = await workshop.branch('resumed', pair, 6, { ...job, 'parallel.sp': 3 });
  for (const length of [700, 704]) {
    // Padded, or one document without boundaries: states are summed then.
    const { run, steps } =
      length === 700 ? pair : await workshop.train('whole', { ...whole, 'job.steps': 1 });
    const { bytesSentByRank } = run.plan.modelled.find(({ strategy }) => strategy === run.plan.strategy)!;
    const planned = bytesSentByRank.reduce((sum, bytes) => sum + bytes, 0);
    assert.is(steps[0]!.spBytesSent, planned, `bytes of ${length} tokens`);
  }
  for (const run of [pair, resumed]) {
    for (const { step, loss, tokens } of run.steps) {
      const expected = single.steps[step - 1]!;
      assert.ok(Math.abs(loss! / expected.loss! - 1) < 1e-4, `step ${step}: ${loss}, not ${expected.loss}`);
      assert.is(tokens, 700, 'hidden or not, they are read');
    }
    const error = run.result.validationLoss! / single.result.validationLoss! - 1;
    assert.ok(Math.abs(error) < 1e-3, `validation off by ${error}`);
  }
  assert.ok(single.result.validationLoss! < single.steps[0]!.loss! - 0.3, 'it learns');

  const task = {
    kind: 'generate',
    prompt: 'the ',
    numTokens: 4,
    temperature: 1,
    seed: 0,
    device: 'cpu',
  } as const;
  const message = await runTask({ ...task, checkpoint: single.result.checkpoint! }).then(
    () => 'it generated',
    (error: Error) => error.message,
  );
  assert.match(message, /E-OBJECTIVE.*model\.objective = "masked".*both directions.*Fix: generate from/);
});

test('masked ~> replicas and micro-batches hide the tokens that one rank hides', async () => {
  const batch = { ...job, 'job.steps': 4, 'data.batchSize': 4 };
  const single = await workshop.train('batch', batch);
  const cut = await workshop.train('batch-cut', { ...batch, 'parallel.dp': 2, 'data.accumulate': 2 });
  for (const [i, { loss }] of cut.steps.entries()) {
    const expected = single.steps[i]!.loss!;
    assert.ok(Math.abs(loss! / expected - 1) < 1e-4, `step ${i + 1}: ${loss}, not ${expected}`);
  }
  assert.ok(Math.abs(cut.result.validationLoss! / single.result.validationLoss! - 1) < 1e-3);
});

test.run();
