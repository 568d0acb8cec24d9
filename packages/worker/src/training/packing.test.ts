import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { importUnits } from '../conformance/unit-files.js';
import { sliceBatch } from '../data/batch.js';
import type { Batch, TextPart } from '../data/index.js';
import { numLabels, type Window } from '../data/window.js';
import { type JobSpec, jobSpecSchema } from '../protocol/job-spec.js';
import { slicesOf } from '../sequence/sequence-group.js';
import type { Strategy } from '../strategy.js';
import { textOf } from '../testing/documents.js';
import { openTrainingRanks } from '../testing/training-ranks.js';
import { type Training, trainStep, validate } from './train-step.js';

const strategies = [...(await importUnits<Strategy>(new URL('../sp/', import.meta.url))).keys()];

/** Of one token, many in a slice, one over all of four ranks, one from the edge of a slice, the last one cut off. */
const documentLengths = [1, 13, 30, 1, 147, 3, 29, 9, 24];
const sequenceLength = 256;
const text = textOf(documentLengths);
const starts = text.documents!.between(0, text.numBytes);

/** Every class of M, positions, and (a layer that `openTrainingRanks` adds) a short convolution and a token shift. */
const spec: JobSpec = jobSpecSchema.parse({
  model: {
    ...{ dModel: 32, numLayers: 5, numHeads: 2, vocabSize: 40, mlp: 32, tieEmbeddings: false },
    layers: ['gla', 'gated-deltanet', 'mlstm', 'softmax-attention', 'retnet'].map((use) => ({
      ...{ use, options: {}, file: null },
    })),
  },
  data: { path: 'unused', format: 'jsonl', sequenceLength, packing: true },
});

/** This rank's part of one sequence; labels only in document `only`, or in all. */
function batchOf(source: TextPart, window: Window, { slices, rank, only }: Place & { only?: number }): Batch {
  const { start, length } = slices[rank]!;
  const slice = { start, length, numTokens: length };
  const numValidTokens = numLabels(source, window);
  const batch = sliceBatch({
    ...{ text: source, windows: [window], slice, vocabSize: 40, numValidTokens, packing: true },
  });
  if (only === undefined) return batch;
  const labels = batch.labels.map((label, i) =>
    source.documents!.indexAt(window.start + start + i) === only ? label : -1,
  );
  return { ...batch, labels };
}

interface Place {
  readonly slices: ReturnType<typeof slicesOf>;
  readonly rank: number;
}

interface Options {
  readonly lengths: readonly number[];
  readonly strategy?: string;
}

const runs: readonly Options[] = [
  { lengths: [256] },
  ...strategies.map((strategy) => ({ lengths: [64, 64, 64, 64], strategy })),
  { lengths: [128, 128], strategy: 'all-scan' },
];

/** Opens ranks, gives them to `body`, closes them. */
async function withRanks<R>(
  { lengths, strategy = 'ring' }: Options,
  body: (ranks: Training[], placeOf: (rank: number) => Place) => Promise<R>,
): Promise<R> {
  const ranks = await openTrainingRanks(spec, { lengths, strategy, dtype: 'f64' });
  try {
    return await body(ranks, (rank) => ({ slices: slicesOf(lengths), rank }));
  } finally {
    for (const { device } of ranks) device.close();
  }
}

/** Mean loss over all labels of the window, or the part of it that document `only` has. */
async function lossOf(ranks: Training[], batchAt: (rank: number) => Batch): Promise<number> {
  const [loss] = await Promise.all(ranks.map((training, rank) => validate(training, [batchAt(rank)])));
  return loss!;
}

const whole = { start: 0, numTokens: sequenceLength };

/** Sum of the losses of all labels, every document a sequence of its own. */
async function lossOfDocumentsAlone(): Promise<number> {
  let sum = 0;
  for (const [i, start] of starts.entries()) {
    const numTokens = Math.min(starts[i + 1] ?? text.numBytes, sequenceLength + 1) - 1 - start;
    if (numTokens <= 0) continue;
    sum += await withRanks({ lengths: [numTokens] }, (ranks, placeOf) =>
      lossOf(ranks, (rank) => batchOf(text, { start, numTokens }, placeOf(rank))).then(
        (mean) => mean * numTokens,
      ),
    );
  }
  return sum;
}

test('packing ~> the documents of a sequence have the losses that each has alone', async () => {
  const alone = (await lossOfDocumentsAlone()) / numLabels(text, whole);
  for (const run of runs) {
    const packed = await withRanks(run, (ranks, placeOf) =>
      lossOf(ranks, (rank) => batchOf(text, whole, placeOf(rank))),
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

/** A token that no document has; its embedding is NaN. */
const poison = 39;

async function checkIsolation(run: Options): Promise<void> {
  await withRanks(run, async (ranks, placeOf) => {
    for (const { parameters } of ranks) {
      parameters.byName
        .get('embedding')!
        .view([32], 32 * poison)
        .write(new Float64Array(32).fill(Number.NaN));
    }
    for (let i = 0; i + 1 < starts.length; i++) {
      const next = (source: TextPart) =>
        lossOf(ranks, (rank) => batchOf(source, whole, { ...placeOf(rank), only: i + 1 }));
      const expected = await next(text);
      assert.ok(Number.isFinite(expected));
      const other = changed(i, (at) => (7 * at) % 39);
      assert.is(await next(other), expected, `document ${i} has other tokens: ${JSON.stringify(run)}`);
      const poisoned = changed(i, () => poison);
      assert.is(await next(poisoned), expected, `document ${i} is NaN: ${JSON.stringify(run)}`);
      const own = await lossOf(ranks, (rank) => batchOf(poisoned, whole, { ...placeOf(rank), only: i }));
      if ((starts[i + 1] ?? 0) - starts[i]! > 1) assert.ok(Number.isNaN(own), 'the poison is there');
    }
  });
}

test('packing ~> whatever a document holds, the losses of the next one have the same bits', async () => {
  for (const run of runs) await checkIsolation(run);
});

test('packing ~> losses and gradient norms of every strategy and number of ranks are those of one rank', async () => {
  const stepsOf = (run: Options) =>
    withRanks(run, async (ranks, placeOf) => {
      const steps = [];
      for (const step of [1, 2, 3]) {
        const all = ranks.map((training, rank) => {
          const batches = [batchOf(text, whole, placeOf(rank))];
          return trainStep(training, batches, step, 1e-2, { stop: false, save: false });
        });
        steps.push((await Promise.all(all))[0]!);
      }
      return steps;
    });
  const expected = await stepsOf(runs[0]!);
  for (const run of runs.slice(1)) {
    for (const [i, { loss, clip }] of (await stepsOf(run)).entries()) {
      const [lossError, normError] = [loss / expected[i]!.loss - 1, clip.norm / expected[i]!.clip.norm - 1];
      assert.ok(Math.abs(lossError) < 1e-9, `${JSON.stringify(run)} step ${i + 1}, loss off by ${lossError}`);
      assert.ok(Math.abs(normError) < 1e-7, `${JSON.stringify(run)} step ${i + 1}, norm off by ${normError}`);
    }
  }
});

test.run();
