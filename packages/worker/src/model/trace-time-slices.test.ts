import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { jobSpecSchema } from '../protocol/job-spec.js';
import { traceModel } from './trace.js';

const timeSlice = 256;

interface Changes {
  readonly timeSlice?: number;
  readonly keptMlps?: number;
  readonly recompute?: 'cheap';
  readonly use?: string;
  readonly mlp?: number;
}

const [dModel, mlp] = [64, 192];

function traceOf(numTokens: number, changes: Changes = {}) {
  const { use = 'gated-deltanet', ...model } = changes;
  const layers = [0, 1].map(() => ({ use, options: {}, file: null }));
  const spec = jobSpecSchema.parse({
    model: { dModel, numLayers: 2, numHeads: 2, vocabSize: 256, mlp, layers, timeSlice, ...model },
    data: { path: 'unused', sequenceLength: numTokens },
  });
  return traceModel(spec, { numSequences: 1, sliceLength: numTokens });
}

test('time slices ~> memory grows with the length by what crosses the borders alone', async () => {
  const [four, eight] = [await traceOf(4 * timeSlice), await traceOf(8 * timeSlice)];
  const states = four.recurrences.reduce((sum, { stateBytes }) => sum + stateBytes, 0);
  const halos = four.halos.reduce((sum, { bytes }) => sum + bytes, 0);
  assert.ok(states > 0 && halos > 0);
  assert.is(eight.activationBytes - four.activationBytes, 4 * (states + halos));
});

test('time slices ~> one slice takes what the whole sequence does', async () => {
  const [sliced, whole] = [await traceOf(timeSlice), await traceOf(timeSlice, { timeSlice: 0 })];
  const error = sliced.activationBytes / whole.activationBytes - 1;
  assert.ok(Math.abs(error) < 0.01, `${error} more`);
  const cheap = await traceOf(timeSlice, { recompute: 'cheap' });
  assert.ok(cheap.activationBytes < 0.95 * sliced.activationBytes);
});

test('time slices ~> calls are those of the model, forward passes of all slices but the last run twice', async () => {
  const numSlices = 8;
  const [sliced, whole] = [
    await traceOf(numSlices * timeSlice),
    await traceOf(numSlices * timeSlice, { timeSlice: 0 }),
  ];
  assert.equal(sliced.recurrences, whole.recurrences);
  assert.equal(sliced.halos, whole.halos);
  const more = sliced.flopsPerToken / whole.flopsPerToken - 1;
  // A third, less the last slice, head and loss, and one of two MLPs.
  assert.ok(more > 0.15 && more < (numSlices - 1) / numSlices / 3, `${more} more operations`);
});

test('kept MLPs ~> the products with down do not run again, for the memory of what they give', async () => {
  const numSlices = 8;
  const [made, kept] = [
    await traceOf(numSlices * timeSlice),
    await traceOf(numSlices * timeSlice, { keptMlps: 1 }),
  ];
  const part = (numSlices - 1) / numSlices;
  assert.is(made.flopsPerToken - kept.flopsPerToken, part * 2 * mlp * dModel);
  const bytes = part * numSlices * timeSlice * dModel * 4;
  assert.is(kept.activationBytes - made.activationBytes, bytes);
  assert.equal([made.keptMlpBytes, kept.keptMlpBytes], [0, bytes]);
});

test('time slices ~> the last MLP runs once', async () => {
  const numSlices = 4;
  const flopsOf = async (slice: number, hidden: number) =>
    (await traceOf(numSlices * timeSlice, { timeSlice: slice, mlp: hidden })).flopsPerToken;
  const ofMlps = async (slice: number) => (await flopsOf(slice, 2 * mlp)) - (await flopsOf(slice, mlp));
  const whole = await ofMlps(0);
  const again = (await ofMlps(timeSlice)) - whole;
  // Of two MLPs one, forward, which is a third of what it takes in both passes.
  const share = again / whole / ((numSlices - 1) / numSlices);
  assert.ok(Math.abs(share - 1 / 6) < 0.005, `${share} of the MLPs`);
});

test('time slices ~> a layer whose memory grows with the sequence is refused by its place', async () => {
  const message = await traceOf(timeSlice, { use: 'softmax-attention' }).then(
    () => 'traced',
    (error: Error) => error.message,
  );
  assert.match(message, /error\[E-TIME-SLICE\] model\.timeSlice with layer 0: softmax attention/);
});

test.run();
