import { LongscanError } from '@longscan/kernels';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Layer } from '../layer.js';
import { type JobSpec, jobSpecSchema } from '../protocol/job-spec.js';
import { trainOnText } from '../testing/train-on-text.js';
import { importUnits } from './unit-files.js';

/** Every layer in a model of two of it: what a job may do with any layer, whatever it computes. */
const layers = await importUnits<Layer>(new URL('../layers/', import.meta.url));

/** Tokens of one step; a text of two steps is read at once, or in two steps that go on from each other. */
const stepLength = 96;
const starts = [0, stepLength];
const halves = [48, 48];

function specOf(use: string, { carry = false, recompute = false }): JobSpec {
  return jobSpecSchema.parse({
    model: {
      ...{ dModel: 64, numLayers: 2, numHeads: 2, vocabSize: 40, mlp: 32, recompute },
      layers: [1, 2].map(() => ({ use, options: {}, file: null })),
    },
    data: { path: 'unused', sequenceLength: stepLength, carry },
  });
}

function expectNear(found: number, expected: number, where: string): void {
  assert.ok(Math.abs(found / expected - 1) < 1e-9, `${where}: ${found}, expected ${expected}`);
}

async function checkCarried(name: string): Promise<void> {
  const pieces = await trainOnText(specOf(name, { carry: true }), { lengths: [stepLength], starts });
  const whole = await trainOnText(specOf(name, {}), { lengths: [2 * stepLength], starts: [0] });
  const mean = (pieces.results[0]!.loss + pieces.results[1]!.loss) / 2;
  expectNear(mean, whole.results[0]!.loss, 'mean loss');
  const cut = await trainOnText(specOf(name, { carry: true, recompute: true }), { lengths: halves, starts });
  cut.results.forEach(({ loss, clip }, i) => {
    expectNear(loss, pieces.results[i]!.loss, `step ${i + 1} on two ranks, loss`);
    expectNear(clip.norm, pieces.results[i]!.clip.norm, `step ${i + 1} on two ranks, gradient norm`);
  });
}

for (const name of layers.keys()) {
  test(`${name} ~> recomputed activations give the bits of kept ones, on two ranks`, async () => {
    const run = { lengths: halves, starts: [0] };
    const kept = await trainOnText(specOf(name, {}), run);
    const again = await trainOnText(specOf(name, { recompute: true }), run);
    assert.equal(again.results, kept.results);
  });

  test(`${name} ~> steps that carry their memory read a text as one long sequence does, or refuse`, () =>
    checkCarried(name).catch((error: unknown) => {
      // Only where memory grows with the text.
      const isRefusal = error instanceof LongscanError && error.code === 'E-CARRY';
      if (!isRefusal || !error.message.includes('softmax attention')) throw error;
    }));
}

test.run();
