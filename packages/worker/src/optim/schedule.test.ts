import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { jobSpecSchema } from '../protocol/job-spec.js';
import { learningRate } from './schedule.js';

const spec = (schedule: string) =>
  jobSpecSchema.parse({
    model: { mlp: 0, layers: [{ use: 'gla', options: {}, file: null }] },
    data: { path: 'unused' },
    optimizer: { lr: 2, schedule, warmupSteps: 4, minLrRatio: 0.1 },
  }).optimizer;

const near = (found: number, expected: number) => assert.ok(Math.abs(found - expected) < 1e-12, `${found}`);

test('learning rate ~> warms up linearly, whatever follows', () => {
  for (const schedule of ['cosine', 'linear', 'constant']) {
    near(learningRate(spec(schedule), 1, 24), 0.5);
    near(learningRate(spec(schedule), 4, 24), 2);
  }
});

test('learning rate ~> halfway and at the end', () => {
  near(learningRate(spec('cosine'), 14, 24), 2 * (0.1 + 0.9 / 2));
  near(learningRate(spec('cosine'), 9, 24), 2 * (0.1 + (0.9 * (1 + Math.SQRT1_2)) / 2));
  near(learningRate(spec('linear'), 9, 24), 2 * (0.1 + 0.9 * 0.75));
  for (const schedule of ['cosine', 'linear']) near(learningRate(spec(schedule), 24, 24), 0.2);
  near(learningRate(spec('constant'), 24, 24), 2);
});

test('learning rate ~> a job shorter than its warm-up', () => {
  near(learningRate(spec('cosine'), 3, 3), 1.5);
});

test.run();
