import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { importUnits } from '../conformance/unit-files.js';
import type { Batch, TextPart } from '../data/index.js';
import { numLabels } from '../data/window.js';
import { type JobSpec, jobSpecSchema } from '../protocol/job-spec.js';
import type { SliceRange } from '../sequence/slice-group.js';
import type { Strategy } from '../strategy.js';
import { textOf } from '../testing/documents.js';
import {
  packedBatch,
  type RanksOfDocuments,
  trainOnDocuments,
  withRanks,
} from '../testing/train-on-documents.js';
import { trainStep, validate } from './train-step.js';
import type { Training } from './training.js';

const strategies = [...(await importUnits<Strategy>(new URL('../sp/', import.meta.url))).keys()];

/** Of one token, many in a slice, one over all of four ranks, one from the edge of a slice, the last one cut off. */
const documentLengths = [1, 13, 30, 1, 147, 3, 29, 9, 24];
const sequenceLength = 256;
const text = textOf(documentLengths);
const starts = text.documents!.between(0, text.numBytes);
const whole = { start: 0, numTokens: sequenceLength };

/** Several classes of M, positions, and (a layer that every test model has) a short convolution and a token shift. */
const spec: JobSpec = jobSpecSchema.parse({
  model: {
    ...{ dModel: 32, numLayers: 5, numHeads: 2, vocabSize: 40, mlp: 32, tieEmbeddings: false },
    layers: ['gla', 'gated-deltanet', 'mlstm', 'softmax-attention', 'retnet'].map((use) => ({
      ...{ use, options: {}, file: null },
    })),
  },
  data: { path: 'unused', format: 'jsonl', sequenceLength, packing: true },
});

const runs: readonly RanksOfDocuments[] = [
  { lengths: [256] },
  ...strategies.map((strategy) => ({ lengths: [64, 64, 64, 64], strategy })),
  { lengths: [128, 128], strategy: 'all-scan' },
];

async function lossOf(ranks: readonly Training[], batchAt: (rank: number) => Batch): Promise<number> {
  const [loss] = await Promise.all(ranks.map((training, rank) => validate(training, [batchAt(rank)])));
  return loss!;
}

/** Sum of the losses of all labels, every document a sequence of its own. */
async function lossOfDocumentsAlone(): Promise<number> {
  let sum = 0;
  for (const [i, start] of starts.entries()) {
    const numTokens = Math.min(starts[i + 1] ?? text.numBytes, sequenceLength + 1) - 1 - start;
    if (numTokens <= 0) continue;
    sum += await withRanks(spec, { lengths: [numTokens] }, (ranks, sliceOf) =>
      lossOf(ranks, (rank) => packedBatch(text, [{ start, numTokens }], sliceOf(rank), 1)),
    );
  }
  return sum;
}

test('packing ~> the documents of a sequence have the losses that each has alone', async () => {
  const alone = (await lossOfDocumentsAlone()) / numLabels(text, whole);
  for (const run of runs) {
    const packed = await withRanks(spec, run, (ranks, sliceOf) =>
      lossOf(ranks, (rank) => packedBatch(text, [whole], sliceOf(rank), numLabels(text, whole))),
    );
    assert.ok(Math.abs(packed / alone - 1) < 1e-10, `${JSON.stringify(run)}: ${packed}, alone ${alone}`);
  }
});

/** The text with document `index` made of other tokens. */
function changed(index: number, tokenAt: (i: number) => number): TextPart {
  const end = starts[index + 1] ?? text.numBytes;
  const bytes = text.bytes.map((token, i) => (i >= starts[index]! && i < end ? tokenAt(i) : token));
  return { ...text, read: (from, length) => bytes.slice(from, from + length) };
}

/** This rank's part of `source` with labels in document `index` only. */
function labelled(source: TextPart, index: number, slice: SliceRange): Batch {
  const batch = packedBatch(source, [whole], slice, 1);
  const labels = batch.labels.map((label, i) =>
    text.documents!.indexAt(slice.start + i) === index ? label : -1,
  );
  return { ...batch, labels };
}

/** A token that no document has; its embedding is NaN. */
const poison = 39;

async function checkIsolation(run: RanksOfDocuments): Promise<void> {
  await withRanks(spec, run, async (ranks, sliceOf) => {
    for (const { parameters } of ranks) {
      parameters.byName
        .get('embedding')!
        .view([32], 32 * poison)
        .write(new Float64Array(32).fill(Number.NaN));
    }
    const lossIn = (source: TextPart, index: number) =>
      lossOf(ranks, (rank) => labelled(source, index, sliceOf(rank)));
    for (let i = 0; i + 1 < starts.length; i++) {
      const expected = await lossIn(text, i + 1);
      assert.ok(Number.isFinite(expected));
      const other = changed(i, (at) => (7 * at) % 39);
      assert.is(await lossIn(other, i + 1), expected, `document ${i} changed: ${JSON.stringify(run)}`);
      const poisoned = changed(i, () => poison);
      assert.is(await lossIn(poisoned, i + 1), expected, `document ${i} is NaN: ${JSON.stringify(run)}`);
      const hasLabel = documentLengths[i]! > 1;
      if (hasLabel) assert.ok(Number.isNaN(await lossIn(poisoned, i)), 'the poison is there');
    }
  });
}

test('packing ~> whatever a document holds, the losses of the next one have the same bits', async () => {
  for (const run of runs) await checkIsolation(run);
});

test('packing ~> losses and gradient norms of every strategy and number of ranks are those of one rank', async () => {
  const stepsOf = (run: RanksOfDocuments) =>
    trainOnDocuments(spec, { ...run, text, windows: [whole], numSteps: 3 }).then(({ steps }) => steps);
  const expected = await stepsOf(runs[0]!);
  for (const run of runs.slice(1)) {
    for (const [i, { loss, clip }] of (await stepsOf(run)).entries()) {
      const [lossError, normError] = [loss / expected[i]!.loss - 1, clip.norm / expected[i]!.clip.norm - 1];
      assert.ok(Math.abs(lossError) < 1e-9, `${JSON.stringify(run)} step ${i + 1}, loss off by ${lossError}`);
      assert.ok(Math.abs(normError) < 1e-7, `${JSON.stringify(run)} step ${i + 1}, norm off by ${normError}`);
    }
  }
});

test('packing ~> documents that go on in the next step, with the memory carried there, are those of one sequence', async () => {
  const layers = spec.model.layers.filter(({ use }) => use !== 'softmax-attention');
  const model = { ...spec.model, numLayers: layers.length, layers };
  const numValid = numLabels(text, whole);
  const { steps } = await trainOnDocuments({ ...spec, model }, { lengths: [256], text, windows: [whole] });
  for (const lengths of [[64], [32, 32]]) {
    const carrying = { ...spec, model, data: { ...spec.data, carry: true } };
    const loss = await withRanks(carrying, { lengths }, async (ranks, sliceOf) => {
      let sum = 0;
      for (const start of [0, 64, 128, 192]) {
        const window = { start, numTokens: 64, memoryStart: 0 };
        const all = ranks.map((training, rank) => {
          training.carry!.startStep(start);
          const batch = packedBatch(text, [window], sliceOf(rank), numValid);
          return trainStep(training, [batch], 1, 0, { stop: false, save: false });
        });
        sum += (await Promise.all(all))[0]!.loss;
      }
      return sum;
    });
    const error = loss / steps[0]!.loss - 1;
    assert.ok(Math.abs(error) < 1e-10, `${lengths.length} ranks: loss off by ${error}`);
  }
});

test.run();
