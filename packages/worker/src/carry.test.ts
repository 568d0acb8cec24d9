import { randomSource } from '@longscan/kernels/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Batch } from './data/index.js';
import { type JobSpec, jobSpecSchema } from './protocol/job-spec.js';
import { openTrainingRanks } from './testing/training-ranks.js';
import { trainStep } from './train-step.js';

/** Tokens of one step's sequences; three steps read three times as many in a row. */
const stepLength = 96;
const numSteps = 3;
const stay = { stop: false, save: false };

function specOf(carry: boolean, recompute = false): JobSpec {
  return jobSpecSchema.parse({
    model: {
      ...{ dModel: 32, numLayers: 4, numHeads: 2, vocabSize: 40, mlp: 64, recompute },
      layers: ['gla', 'lightning', 'retnet', 'deltanet'].map((use) => ({
        ...{ use, options: {}, file: null },
      })),
    },
    data: { path: 'unused', sequenceLength: stepLength, carry },
    optimizer: {},
  });
}

const next = randomSource(5);
const rows = Array.from({ length: 2 }, () =>
  Int32Array.from({ length: numSteps * stepLength + 1 }, () => Math.floor(40 * next() * next())),
);

/** Tokens [begin, begin + length) of both rows, of a step that has `total` tokens in all. */
function batchOf(begin: number, length: number, total: number): Batch {
  const cut = (shift: number) =>
    Int32Array.from(rows.flatMap((row) => [...row.slice(begin + shift, begin + shift + length)]));
  return {
    ...{ numSequences: 2, sliceLength: length, tokens: cut(0), labels: cut(1), numValidTokens: 2 * total },
    resets: null,
  };
}

/** Losses and gradient norms of the steps; nothing is learned at rate 0. */
async function train(
  spec: JobSpec,
  lengths: readonly number[],
  strategy: string,
  starts: readonly number[],
  rate: number,
) {
  const ranks = await openTrainingRanks(spec, { lengths, strategy, dtype: 'f64' });
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const numTensors: number[] = [];
  const results = [];
  for (const [i, start] of starts.entries()) {
    let begin = start;
    const all = ranks.map((training, rank) => {
      training.carry?.startStep(start);
      const batch = batchOf(begin, lengths[rank]!, total);
      begin += lengths[rank]!;
      return trainStep(training, [batch], i + 1, rate, stay);
    });
    const [{ loss, clip }] = (await Promise.all(all)) as [Awaited<(typeof all)[number]>];
    results.push({ loss, norm: clip.norm });
    numTensors.push(...ranks.map(({ device }) => device.memory().numTensors));
  }
  for (const { device } of ranks) device.close();
  return { results, numTensors };
}

const starts = Array.from({ length: numSteps }, (_, step) => step * stepLength);

function expectNear(found: number, expected: number, where: string): void {
  assert.ok(Math.abs(found / expected - 1) < 1e-10, `${where}: ${found}, expected ${expected}`);
}

test('carry ~> the losses of steps that go on from each other are those of one long sequence', async () => {
  const whole = await train(specOf(false), [numSteps * stepLength], 'ring', [0], 0);
  const pieces = await train(specOf(true), [stepLength], 'ring', starts, 0);
  const mean = pieces.results.reduce((sum, { loss }) => sum + loss, 0) / numSteps;
  expectNear(mean, whole.results[0]!.loss, 'mean loss');
  const anew = await train(specOf(false), [stepLength], 'ring', starts, 0);
  assert.is(anew.results[0]!.loss, pieces.results[0]!.loss);
  assert.ok(Math.abs(anew.results[1]!.loss / pieces.results[1]!.loss - 1) > 1e-6, 'the memory has an effect');
});

for (const strategy of ['ring', 'all-gather', 'all-scan']) {
  for (const lengths of [
    [48, 48],
    [32, 32, 32],
  ]) {
    for (const recompute of [false, true]) {
      test(`carry ~> ${strategy}, slices of ${lengths}, recompute ${recompute}: as on one rank`, async () => {
        const single = await train(specOf(true), [stepLength], 'ring', starts, 5e-3);
        const { results, numTensors } = await train(specOf(true, recompute), lengths, strategy, starts, 5e-3);
        results.forEach(({ loss, norm }, i) => {
          expectNear(loss, single.results[i]!.loss, `step ${i + 1}, loss`);
          expectNear(norm, single.results[i]!.norm, `step ${i + 1}, gradient norm`);
        });
        // From the second step on the same is held.
        assert.equal(numTensors.slice(-lengths.length), numTensors.slice(lengths.length, 2 * lengths.length));
      });
    }
  }
}

test.run();
