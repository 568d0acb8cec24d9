import { LongscanError } from '@longscan/kernels';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Layer } from '../layer.js';
import { type JobSpec, jobSpecSchema } from '../protocol/job-spec.js';
import { largestDifference } from '../testing/largest-difference.js';
import { trainOnText } from '../testing/train-on-text.js';
import { importUnits } from './unit-files.js';

/** Every layer in a model of two of it, trained slice by slice in time. */
const layers = await importUnits<Layer>(new URL('../layers/', import.meta.url));

/** No multiple of the slices, which are none of a chunk. */
const numTokens = 110;
const slices = [40, 110];

function specOf(use: string, timeSlice: number, keptMlps = 0): JobSpec {
  return jobSpecSchema.parse({
    model: {
      ...{ dModel: 64, numLayers: 2, numHeads: 2, vocabSize: 40, mlp: 32, timeSlice, keptMlps },
      layers: [1, 2].map(() => ({ use, options: {}, file: null })),
    },
    data: { path: 'unused', sequenceLength: numTokens },
  });
}

async function checkSlices(name: string): Promise<void> {
  const run = { lengths: [numTokens], starts: [0] };
  const whole = await trainOnText(specOf(name, 0), run);
  for (const timeSlice of slices) {
    const sliced = await trainOnText(specOf(name, timeSlice), run);
    const loss = sliced.results[0]!.loss / whole.results[0]!.loss - 1;
    assert.ok(Math.abs(loss) < 1e-12, `slices of ${timeSlice}: loss off by ${loss}`);
    const gradients = largestDifference(sliced.gradients, whole.gradients);
    assert.ok(gradients < 1e-10, `slices of ${timeSlice}: gradients off by ${gradients}`);
    const kept = await trainOnText(specOf(name, timeSlice, 1), run);
    assert.equal(kept.gradients, sliced.gradients, `slices of ${timeSlice}, an MLP's output kept`);
  }
}

/** Only where memory grows with the text. */
function isRefusal(error: unknown): boolean {
  return (
    error instanceof LongscanError &&
    error.code === 'E-TIME-SLICE' &&
    error.message.includes('softmax attention')
  );
}

for (const name of layers.keys()) {
  test(`${name} ~> time slices have the loss and the gradients of the whole sequence, or are refused`, () =>
    checkSlices(name).catch((error: unknown) => {
      if (!isRefusal(error)) throw error;
    }));
}

test.run();
