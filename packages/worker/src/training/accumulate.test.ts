import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type JobSpec, jobSpecSchema } from '../protocol/job-spec.js';
import { textOf } from '../testing/documents.js';
import { largestDifference } from '../testing/largest-difference.js';
import { packedBatch, trainOnDocuments, withRanks } from '../testing/train-on-documents.js';
import { trainStep } from './train-step.js';

/** Windows with many and with few documents, so that micro-batches have different numbers of labels. */
const text = textOf([3, 1, 1, 2, 5, 1, 1, 90, 64, 2, 1, 200, 40]);
const windows = [0, 96, 192, 288].map((start) => ({ start, numTokens: 96 }));

function specOf(recompute: boolean): JobSpec {
  return jobSpecSchema.parse({
    model: {
      ...{ dModel: 32, numLayers: 3, numHeads: 2, vocabSize: 40, mlp: 32, recompute },
      layers: ['gla', 'deltanet', 'softmax-attention'].map((use) => ({ use, options: {}, file: null })),
    },
    data: { path: 'unused', format: 'jsonl', sequenceLength: 96, packing: true },
    optimizer: { eps: 1e-3 },
  });
}

const allowed = { f64: 1e-12, f32: 1e-6 };

for (const dtype of ['f64', 'f32'] as const) {
  for (const [lengths, dp] of [
    [[96], 1],
    [[48, 48], 1],
    [[48, 48], 2],
  ] as const) {
    test(`accumulate ~> sp=${lengths.length} dp=${dp}, ${dtype}: losses and gradients of the step at once`, async () => {
      const run = { text, windows, lengths, dp, dtype };
      const whole = await trainOnDocuments(specOf(false), run);
      for (const recompute of [false, true]) {
        for (const accumulate of dp === 1 ? [2, 4] : [2]) {
          const parts = await trainOnDocuments(specOf(recompute), { ...run, accumulate });
          const loss = parts.steps[0]!.loss / whole.steps[0]!.loss - 1;
          assert.ok(Math.abs(loss) <= allowed[dtype], `${accumulate} parts, loss off by ${loss}`);
          const gradient = largestDifference(parts.gradients, whole.gradients);
          assert.ok(gradient <= allowed[dtype], `${accumulate} parts, gradients off by ${gradient}`);
        }
      }
    });
  }
}

test('accumulate ~> ranks meet once a step for their gradients', async () => {
  const slices = { lengths: [48, 48] };
  const numMeetings = await withRanks(specOf(false), slices, async (ranks, sliceOf) => {
    const slots = new Int32Array(new SharedArrayBuffer(4));
    ranks[0]!.mesh.world!.attachProgress(slots, 0);
    const steps = ranks.map((training, rank) => {
      const batches = windows.map((window) => packedBatch(text, [window], sliceOf(rank), 300));
      return trainStep(training, batches, 1, 1e-2, { stop: false, save: false });
    });
    await Promise.all(steps);
    return slots[0];
  });
  assert.is(numMeetings, 1);
});

test.run();
