import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { StandingRanks } from '../testing/standing-ranks.js';
import { bytesOf, Workshop } from './small-job.js';

const workshop = new Workshop(new StandingRanks());
test.after(() => workshop.remove());

/** Sequences of 768 tokens in slices that do not divide them. */
const sliced = { 'model.timeSlice': 200 };

function expectNear(found: number | null, expected: number | null, where: string): void {
  assert.ok(Math.abs(found! / expected! - 1) < 1e-4, `${where}: ${found}, expected ${expected}`);
}

test('time slices ~> 20 steps as with whole sequences, goes on from checkpoints with slices or without', async () => {
  const whole = await workshop.train('whole', {});
  const straight = await workshop.train('sliced', { ...sliced, 'checkpoint.every': 10 });
  for (const { step, loss, gradNorm, tokens, peakBytes } of straight.steps) {
    const expected = whole.steps[step - 1]!;
    expectNear(loss, expected.loss, `step ${step}, loss`);
    // Rounding grows from step to step.
    if (step === 1) expectNear(gradNorm, expected.gradNorm, 'gradient norm');
    assert.is(tokens, expected.tokens);
    assert.ok(peakBytes < 0.6 * expected.peakBytes, `${peakBytes} of ${expected.peakBytes} bytes`);
  }
  expectNear(straight.result.validationLoss, whole.result.validationLoss, 'validation');

  const resumed = await workshop.branch('resumed', straight, 10, sliced);
  for (const file of ['parameters', 'optimizer'] as const) {
    const [found, expected] = [resumed, straight].map(({ result }) => bytesOf(result.checkpoint!, file));
    assert.ok(found!.equals(expected!), file);
  }
  const other = await workshop.branch('from-slices-to-whole', straight, 10, {});
  assert.is(other.steps.at(-1)!.step, 20);
  for (const { step, loss } of other.steps) expectNear(loss, whole.steps[step - 1]!.loss, `step ${step}`);
});

test('time slices ~> on two replicas', async () => {
  const batch = { 'data.batchSize': 2, 'job.steps': 5 };
  const whole = await workshop.train('whole-batch', batch);
  const replicas = await workshop.train('replicas', { ...batch, ...sliced, 'parallel.dp': 2 });
  assert.is(replicas.steps.length, 5);
  for (const { step, loss } of replicas.steps) expectNear(loss, whole.steps[step - 1]!.loss, `step ${step}`);
});

test.run();
