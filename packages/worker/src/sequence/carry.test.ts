import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type JobSpec, jobSpecSchema } from '../protocol/job-spec.js';
import { trainOnText } from '../testing/train-on-text.js';

/** Tokens of one step's sequences. Every layer by itself is looked at in conformance/training.test.ts. */
const stepLength = 96;
const starts = [0, 1, 2].map((step) => step * stepLength);

function specOf(carry: boolean, recompute = false): JobSpec {
  return jobSpecSchema.parse({
    model: {
      ...{ dModel: 32, numLayers: 4, numHeads: 2, vocabSize: 40, mlp: 64, recompute },
      layers: ['gla', 'lightning', 'retnet', 'deltanet'].map((use) => ({ use, options: {}, file: null })),
    },
    data: { path: 'unused', sequenceLength: stepLength, carry },
  });
}

function expectNear(found: number, expected: number, where: string): void {
  assert.ok(Math.abs(found / expected - 1) < 1e-10, `${where}: ${found}, expected ${expected}`);
}

test('carry ~> the losses of steps that go on from each other are those of one long sequence', async () => {
  const whole = await trainOnText(specOf(false), { lengths: [3 * stepLength], starts: [0] });
  const pieces = await trainOnText(specOf(true), { lengths: [stepLength], starts });
  const mean = pieces.results.reduce((sum, { loss }) => sum + loss, 0) / starts.length;
  expectNear(mean, whole.results[0]!.loss, 'mean loss');
  const anew = await trainOnText(specOf(false), { lengths: [stepLength], starts });
  assert.is(anew.results[0]!.loss, pieces.results[0]!.loss);
  const effect = Math.abs(anew.results[1]!.loss / pieces.results[1]!.loss - 1);
  assert.ok(effect > 1e-6, `without memory the loss differs by ${effect}`);
});

for (const strategy of ['ring', 'all-gather', 'all-scan']) {
  for (const lengths of [
    [48, 48],
    [32, 32, 32],
  ]) {
    for (const recompute of [false, true]) {
      test(`carry ~> ${strategy}, slices of ${lengths}, recompute ${recompute}: as on one rank`, async () => {
        const rate = 5e-3;
        const single = await trainOnText(specOf(true), { lengths: [stepLength], starts, rate });
        const cut = await trainOnText(specOf(true, recompute), { lengths, starts, strategy, rate });
        cut.results.forEach(({ loss, clip }, i) => {
          expectNear(loss, single.results[i]!.loss, `step ${i + 1}, loss`);
          expectNear(clip.norm, single.results[i]!.clip.norm, `step ${i + 1}, gradient norm`);
        });
        assert.equal(cut.numTensors[2], cut.numTensors[1], 'a step holds what the one before held');
      });
    }
  }
}

test.run();
