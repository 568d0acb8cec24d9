import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { jobSpecSchema } from '../protocol/job-spec.js';
import { traceModel } from './trace.js';

const timeSlice = 256;

function traceOf(numTokens: number, changes: { timeSlice?: number; recompute?: 'cheap'; use?: string } = {}) {
  const { use = 'gated-deltanet', ...model } = changes;
  const layers = [0, 1].map(() => ({ use, options: {}, file: null }));
  const spec = jobSpecSchema.parse({
    model: { dModel: 64, numLayers: 2, numHeads: 2, vocabSize: 256, mlp: 64, layers, timeSlice, ...model },
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
  // A third, less the last slice, head and loss.
  assert.ok(more > 0.15 && more < (numSlices - 1) / numSlices / 3, `${more} more operations`);
});

test('time slices ~> a layer whose memory grows with the sequence is refused by its place', async () => {
  const message = await traceOf(timeSlice, { use: 'softmax-attention' }).then(
    () => 'traced',
    (error: Error) => error.message,
  );
  assert.match(message, /error\[E-TIME-SLICE\] model\.timeSlice with layer 0: softmax attention/);
});

test.run();
