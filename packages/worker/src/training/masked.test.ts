import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { importUnits } from '../conformance/unit-files.js';
import type { Batch, TextPart } from '../data/index.js';
import { maskedBatch } from '../data/masked-batch.js';
import { Masking } from '../data/masking.js';
import { numLabels, type Window } from '../data/window.js';
import { type JobSpec, jobSpecSchema } from '../protocol/job-spec.js';
import type { SliceRange } from '../sequence/slice-group.js';
import type { Strategy } from '../strategy.js';
import { textOf } from '../testing/documents.js';
import { type RanksOfDocuments, withRanks } from '../testing/train-on-documents.js';
import { type StepResult, trainStep, validate } from './train-step.js';
import type { Training } from './training.js';

const strategies = [...(await importUnits<Strategy>(new URL('../sp/', import.meta.url))).keys()];

/** Of one token, many in a slice, one over several ranks, one from the edge of a slice. */
const documentLengths = [1, 13, 30, 1, 65, 18, 60, 12];
const text = textOf(documentLengths);
const starts = text.documents!.between(0, text.numBytes);
const paddedLength = 128;
const masking = new Masking(1, 0.4);
const full: Window = { start: 0, numTokens: paddedLength };
/** The end of a text, which does not fill its sequence. */
const short: Window = { start: 5, numTokens: 101 };

function specOf(
  uses: readonly string[],
  changes: { recompute?: boolean; packing?: boolean; tieEmbeddings?: boolean } = {},
): JobSpec {
  const { recompute = false, packing = true, tieEmbeddings = true } = changes;
  return jobSpecSchema.parse({
    model: {
      ...{
        dModel: 32,
        numLayers: uses.length,
        numHeads: 2,
        vocabSize: 40,
        mlp: 32,
        recompute,
        tieEmbeddings,
      },
      objective: 'masked',
      layers: uses.map((use) => ({ use, options: {}, file: null })),
    },
    data: { path: 'unused', format: 'jsonl', sequenceLength: paddedLength, packing },
  });
}

/** Several classes of M, positions and shared values; every test model has a convolution and a token shift besides. */
const uses = ['gla', 'gated-deltanet', 'retnet', 'linear-attention', 'rwkv7', 'mamba', 'softmax-attention'];

const runs: readonly RanksOfDocuments[] = [
  { lengths: [128] },
  ...strategies.map((strategy) => ({ lengths: [32, 32, 32, 32], strategy })),
  { lengths: [64, 64], strategy: 'all-scan' },
];

/** A rank's slice of these windows at a step, hidden tokens and all. */
function batchOf(
  source: TextPart,
  windows: readonly Window[],
  { start, length }: SliceRange,
  { step = 0, packing = true } = {},
): Batch {
  const hidden = windows.map((window, i) => masking.hide(window, step, i));
  const numValidTokens = hidden.reduce((sum, window) => sum + numLabels(source, window), 0);
  const slice = { start, length, numTokens: length };
  const options = { text: source, windows: hidden, slice, vocabSize: 40, numValidTokens };
  return maskedBatch({ ...options, packing, paddedLength });
}

function train(model: JobSpec, run: RanksOfDocuments, windows: readonly Window[]): Promise<StepResult[]> {
  const { packing } = model.data;
  return withRanks(model, run, async (ranks, sliceOf) => {
    const steps: StepResult[] = [];
    const numTensors: number[] = [];
    for (let step = 1; step <= 2; step++) {
      const all = ranks.map((training, rank) => {
        const batch = batchOf(text, windows, sliceOf(rank), { step, packing });
        return trainStep(training, [batch], step, 1e-2, { stop: false, save: false });
      });
      steps.push((await Promise.all(all))[0]!);
      numTensors.push(ranks[0]!.device.memory().numTensors);
    }
    assert.is(numTensors[1], numTensors[0], 'a step holds nothing when it is over');
    return steps;
  });
}

function expectSame(where: string, found: readonly StepResult[], expected: readonly StepResult[]): void {
  for (const [i, { loss, clip }] of found.entries()) {
    const [lossError, normError] = [loss / expected[i]!.loss - 1, clip.norm / expected[i]!.clip.norm - 1];
    assert.ok(Math.abs(lossError) < 1e-9, `${where} step ${i + 1}, loss off by ${lossError}`);
    assert.ok(Math.abs(normError) < 1e-7, `${where} step ${i + 1}, norm off by ${normError}`);
  }
}

test('masked ~> losses and gradient norms of every strategy and number of ranks are those of one rank', async () => {
  for (const [packing, windows] of [
    [true, [full, short]],
    [false, [full, full]],
    [false, [short]],
  ] as const) {
    const model = specOf(uses, { packing });
    const expected = await train(model, runs[0]!, windows);
    for (const run of runs.slice(1)) {
      const where = `${JSON.stringify(run)}, packing ${packing}, ${windows.map(({ numTokens }) => numTokens)}`;
      expectSame(where, await train(model, run, windows), expected);
    }
  }
});

test('masked ~> recomputed blocks have the same losses, and send nothing twice', async () => {
  const run = { lengths: [64, 64], strategy: 'ring' };
  for (const packing of [true, false]) {
    const [kept, again] = [false, true].map((recompute) => specOf(uses, { recompute, packing }));
    const expected = await train(kept!, run, [full]);
    const found = await train(again!, run, [full]);
    expectSame(`packing ${packing}`, found, expected);
    const bytes = (steps: readonly StepResult[]) =>
      steps.map(({ spBytesSentForward, spBytesSentBackward }) => [spBytesSentForward, spBytesSentBackward]);
    assert.equal(bytes(found), bytes(expected));
  }
});

async function lossOf(ranks: readonly Training[], batchAt: (rank: number) => Batch): Promise<number> {
  const [loss] = await Promise.all(ranks.map((training, rank) => validate(training, [batchAt(rank)])));
  return loss!;
}

/** The text with document `index` made of other tokens. */
function changed(index: number, tokenAt: (i: number) => number): TextPart {
  const end = starts[index + 1] ?? text.numBytes;
  const bytes = text.bytes.map((token, i) => (i >= starts[index]! && i < end ? tokenAt(i) : token));
  return { ...text, read: (from, length) => bytes.slice(from, from + length) };
}

/** A token that no document has; its embedding is NaN. */
const poison = 39;

test('masked ~> whatever a document holds, the losses of its neighbours have the same bits', async () => {
  // An embedding of its own: the head's would be NaN in every logit.
  const spec = specOf(uses, { tieEmbeddings: false });
  for (const run of [runs[0]!, runs[1]!, runs.at(-1)!]) {
    await withRanks(spec, run, async (ranks, sliceOf) => {
      for (const { parameters } of ranks) {
        const row = parameters.byName.get('embedding')!.view([32], 32 * poison);
        row.write(new Float64Array(32).fill(Number.NaN));
      }
      /** The loss of what is hidden in document `index`. */
      const lossIn = (source: TextPart, index: number) =>
        lossOf(ranks, (rank) => {
          const slice = sliceOf(rank);
          const batch = batchOf(source, [short], slice);
          const isIn = (i: number) => text.documents!.indexAt(short.start + slice.start + i) === index;
          return { ...batch, labels: batch.labels.map((label, i) => (isIn(i) ? label : -1)) };
        });
      for (let i = 1; i < 5; i++) {
        for (const neighbour of [i - 1, i + 1]) {
          const expected = await lossIn(text, neighbour);
          assert.ok(Number.isFinite(expected));
          for (const tokenAt of [(at: number) => (7 * at) % 39, () => poison]) {
            const found = await lossIn(changed(i, tokenAt), neighbour);
            assert.is(found, expected, `document ${i} changed: ${neighbour}, ${JSON.stringify(run)}`);
          }
        }
        const isLong = documentLengths[i]! > 5;
        if (isLong)
          assert.ok(
            Number.isNaN(
              await lossIn(
                changed(i, () => poison),
                i,
              ),
            ),
            'the poison is there',
          );
      }
    });
  }
});

test.run();
