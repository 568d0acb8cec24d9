import { expectSameBits, rejectionOf } from '@longscan/kernels/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { numLabels } from '../data/window.js';
import type { Model } from '../model/model.js';
import { traceModel } from '../model/trace.js';
import { type JobSpec, jobSpecSchema } from '../protocol/job-spec.js';
import { textOf } from '../testing/documents.js';
import { largestDifference } from '../testing/largest-difference.js';
import { packedBatch, trainOnDocuments, withRanks } from '../testing/train-on-documents.js';
import { trainOnText } from '../testing/train-on-text.js';
import { trainStep, validate } from './train-step.js';

/** Documents of one token, within a slice, over many of them, and over the end of a sequence. */
const text = textOf([3, 1, 1, 2, 5, 1, 1, 90, 64, 2, 1, 200, 40]);
const windows = [0, 96, 192, 288].map((start) => ({ start, numTokens: 96 }));

/** RWKV-7 shares a value between layers and shifts tokens; sLSTM's recurrence is opaque; a convolution comes after these. */
const uses = ['gla', 'gated-deltanet', 'rwkv7', 'rwkv7', 'slstm', 'retnet'];

function specOf(timeSlice: number, more: { recompute?: 'cheap'; keptMlps?: number } = {}): JobSpec {
  return jobSpecSchema.parse({
    model: {
      ...{ dModel: 32, numLayers: uses.length, numHeads: 2, vocabSize: 40, mlp: 32, timeSlice, ...more },
      layers: uses.map((use) => ({ use, options: {}, file: null })),
    },
    data: { path: 'unused', format: 'jsonl', sequenceLength: 96, packing: true },
    optimizer: { eps: 1e-3 },
  });
}

/** Slices that divide the sequence or do not, are shorter than a convolution's halo, and hold all of it. */
const lengths = [32, 41, 2, 1000];

test('time slices ~> packed documents have the loss and the gradients of whole sequences', async () => {
  const run = { text, windows, lengths: [96], dtype: 'f64' } as const;
  const whole = await trainOnDocuments(specOf(0), run);
  for (const timeSlice of lengths) {
    for (const changes of [{}, { accumulate: 2 }, { dp: 2 }]) {
      const sliced = await trainOnDocuments(specOf(timeSlice), { ...run, ...changes });
      const where = `slices of ${timeSlice}, ${JSON.stringify(changes)}`;
      const loss = sliced.steps[0]!.loss / whole.steps[0]!.loss - 1;
      assert.ok(Math.abs(loss) < 1e-12, `${where}: loss off by ${loss}`);
      const gradients = largestDifference(sliced.gradients, whole.gradients);
      assert.ok(gradients < 1e-10, `${where}: gradients off by ${gradients}`);
    }
  }
});

test('time slices ~> the same bits from run to run, and with cheap outputs made again', async () => {
  const run = { text, windows, lengths: [96], dtype: 'f32', numSteps: 3 } as const;
  const first = await trainOnDocuments(specOf(41), run);
  expectSameBits('once more', await trainOnDocuments(specOf(41), run), first);
  expectSameBits('cheap', await trainOnDocuments(specOf(41, { recompute: 'cheap' }), run), first);
});

test('kept MLPs ~> the same bits as with all products made again', async () => {
  const run = { text, windows, lengths: [96], dtype: 'f32', numSteps: 3 } as const;
  for (const [more, changes] of [
    [{}, { accumulate: 2 }],
    [{ recompute: 'cheap' }, {}],
    [{}, { dp: 2 }],
  ] as const) {
    const made = await trainOnDocuments(specOf(41, more), { ...run, ...changes });
    for (const keptMlps of [1, uses.length]) {
      const kept = await trainOnDocuments(specOf(41, { ...more, keptMlps }), { ...run, ...changes });
      expectSameBits(`${keptMlps} kept, ${JSON.stringify({ ...more, ...changes })}`, kept, made);
    }
  }
});

test('time slices ~> held-out text has the loss of whole sequences', async () => {
  const numValid = windows.reduce((sum, window) => sum + numLabels(text, window), 0);
  const lossOf = (timeSlice: number) =>
    withRanks(specOf(timeSlice), { lengths: [96] }, async ([training], sliceOf) =>
      validate(training!, [
        packedBatch(text, windows.slice(0, 2), sliceOf(0), numValid),
        packedBatch(text, windows.slice(2), sliceOf(0), numValid),
      ]),
    );
  const whole = await lossOf(0);
  for (const timeSlice of lengths) {
    const error = (await lossOf(timeSlice)) / whole - 1;
    assert.ok(Math.abs(error) < 1e-12, `slices of ${timeSlice}: loss off by ${error}`);
  }
});

test('time slices ~> steps leave no tensor behind', async () => {
  for (const keptMlps of [0, 3]) {
    const spec = specOf(24, { keptMlps });
    const { numTensors } = await trainOnText(spec, { lengths: [96], starts: [0, 96, 192] });
    assert.equal(numTensors[1], numTensors[0]);
    assert.equal(numTensors[2], numTensors[0]);
  }
});

/** Of one step, as the device's allocator counts it. */
async function peakBytes(timeSlice: number, numTokens: number): Promise<number> {
  const sequence = textOf([numTokens + 1]);
  return withRanks(specOf(timeSlice), { lengths: [numTokens], dtype: 'f32' }, async ([training]) => {
    const batch = packedBatch(
      sequence,
      [{ start: 0, numTokens }],
      { start: 0, length: numTokens },
      numTokens,
    );
    training!.device.memory({ resetPeak: true });
    await trainStep(training!, [batch], 1, 1e-3, { stop: false, save: false });
    return training!.device.memory().peakBytes;
  });
}

/** States and halos at one border, in f32, of the layers of the job. */
async function borderBytes(): Promise<number> {
  const { recurrences, halos } = await traceModel(specOf(0), { numSequences: 1, sliceLength: 64 });
  const states = recurrences.reduce((sum, { stateBytes }) => sum + stateBytes, 0);
  return states + halos.reduce((sum, { bytes }) => sum + bytes, 0);
}

test("time slices ~> a longer sequence takes the memory of its borders' states, and of nothing else", async () => {
  const [few, many] = [await peakBytes(64, 512), await peakBytes(64, 2048)];
  const perBorder = (many - few) / ((2048 - 512) / 64);
  // The layer that follows those of the job has two halos, of three tokens and of one; a small tensor takes a whole line.
  const ofBorder = (await borderBytes()) + 4 * (3 + 1) * 32;
  const perTensor = perBorder - ofBorder;
  assert.ok(perTensor >= 0 && perTensor < 0.5 * ofBorder, `${perBorder} a border, of ${ofBorder} in states`);
  const whole = (await peakBytes(0, 2048)) / many;
  assert.ok(whole > 4, `whole sequences take ${whole} times as much`);
});

test('time slices ~> a pass that fails on its way back gives back what crosses borders', () =>
  withRanks(specOf(32), { lengths: [96] }, async ([training], sliceOf) => {
    const { compute } = training!.device;
    const numValid = windows.slice(0, 2).reduce((sum, window) => sum + numLabels(text, window), 0);
    const batch = packedBatch(text, windows.slice(0, 2), sliceOf(0), numValid);
    const step = (number: number) => trainStep(training!, [batch], number, 0.1, { stop: false, save: false });
    await step(1);
    const { inUseBytes } = training!.device.memory();
    for (const place of [1, 2, 3]) {
      let numBackward = 0;
      compute.mark = (name) => {
        if (name === 'backward' && ++numBackward === place) throw new Error('on the way');
      };
      assert.throws(() => step(2), /on the way/);
      await compute.sync();
      assert.is(training!.device.memory().inUseBytes, inUseBytes);
    }
  }));

test('time slices ~> held-out text whose loss fails gives back what crosses borders', () =>
  withRanks(specOf(32), { lengths: [96] }, async ([training], sliceOf) => {
    const { device, model } = training!;
    const batch = packedBatch(text, windows.slice(0, 2), sliceOf(0), 1);
    await validate(training!, [batch]);
    const { inUseBytes } = device.memory();
    for (const place of [1, 2, 3]) {
      let numForward = 0;
      const forward: Model['forward'] = (...args) => {
        const hidden = model.forward(...args);
        if (++numForward === place) throw new Error('on the way');
        return hidden;
      };
      const failing = { ...training!, model: { ...model, forward } };
      assert.match((await rejectionOf(validate(failing, [batch]))).message, /on the way/);
      await device.compute.sync();
      assert.is(device.memory().inUseBytes, inUseBytes);
    }
  }));

test.run();
