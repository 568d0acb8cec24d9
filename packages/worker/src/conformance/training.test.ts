import { LongscanError } from '@longscan/kernels';
import { randomSource } from '@longscan/kernels/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Batch } from '../data/index.js';
import type { Layer } from '../layer.js';
import { jobSpecSchema } from '../protocol/job-spec.js';
import { openTrainingRanks } from '../testing/training-ranks.js';
import { trainStep } from '../train-step.js';
import { importUnits } from './unit-files.js';

/** Every layer in a model of two of it: what a job may do with any layer, whatever it computes. */
const layers = await importUnits<Layer>(new URL('../layers/', import.meta.url));

/** Tokens of one step. A text of two steps is read at once, or in two steps that go on from each other. */
const stepLength = 96;
const stay = { stop: false, save: false };
const next = randomSource(5);
const text = Array.from({ length: 2 }, () =>
  Int32Array.from({ length: 2 * stepLength + 1 }, () => Math.floor(40 * next() * next())),
);

function batchOf(begin: number, length: number, total: number): Batch {
  const cut = (from: number) => Int32Array.from(text.flatMap((row) => [...row.slice(from, from + length)]));
  return {
    ...{ numSequences: 2, sliceLength: length, tokens: cut(begin), labels: cut(begin + 1) },
    ...{ numValidTokens: 2 * total, resets: null },
  };
}

interface Run {
  readonly lengths: readonly number[];
  readonly starts: readonly number[];
  readonly carry?: boolean;
  readonly recompute?: boolean;
  readonly rate?: number;
}

/** Loss and gradient norm of each step. */
async function train(use: string, { lengths, starts, carry = false, recompute = false, rate = 0 }: Run) {
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const spec = jobSpecSchema.parse({
    model: {
      ...{ dModel: 64, numLayers: 2, numHeads: 2, vocabSize: 40, mlp: 32, recompute },
      layers: [1, 2].map(() => ({ use, options: {}, file: null })),
    },
    data: { path: 'unused', sequenceLength: total, carry },
  });
  const ranks = await openTrainingRanks(spec, { lengths, strategy: 'ring', dtype: 'f64' });
  try {
    const steps = [];
    for (const [i, start] of starts.entries()) {
      let begin = start;
      const all = ranks.map((training, rank) => {
        training.carry?.startStep(start);
        const batch = batchOf(begin, lengths[rank]!, total);
        begin += lengths[rank]!;
        return trainStep(training, [batch], i + 1, rate, stay);
      });
      const [first] = await Promise.all(all);
      steps.push({ loss: first!.loss, norm: first!.clip.norm });
    }
    return steps;
  } finally {
    for (const { device } of ranks) device.close();
  }
}

function expectNear(found: number, expected: number, where: string): void {
  assert.ok(Math.abs(found / expected - 1) < 1e-9, `${where}: ${found}, expected ${expected}`);
}

for (const name of layers.keys()) {
  test(`${name} ~> recomputed activations give the bits of kept ones, on two ranks`, async () => {
    const run = { lengths: [48, 48], starts: [0] };
    assert.equal(await train(name, { ...run, recompute: true }), await train(name, run));
  });

  test(`${name} ~> steps that carry their memory read a text as one long sequence does, or refuse`, async () => {
    const starts = [0, stepLength];
    try {
      const pieces = await train(name, { lengths: [stepLength], starts, carry: true });
      const [whole] = await train(name, { lengths: [2 * stepLength], starts: [0] });
      expectNear((pieces[0]!.loss + pieces[1]!.loss) / 2, whole!.loss, 'mean loss');
      const cut = await train(name, { lengths: [48, 48], starts, carry: true, recompute: true });
      cut.forEach(({ loss, norm }, i) => {
        expectNear(loss, pieces[i]!.loss, `step ${i + 1} on two ranks, loss`);
        expectNear(norm, pieces[i]!.norm, `step ${i + 1} on two ranks, gradient norm`);
      });
    } catch (error) {
      assert.is((error as LongscanError).code, 'E-CARRY', (error as Error).message);
      assert.ok(error instanceof LongscanError && error.message.includes('softmax attention'));
    }
  });
}

test.run();
