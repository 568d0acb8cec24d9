import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { jobSpecSchema } from '../protocol/job-spec.js';
import { traceModel } from './trace.js';

const [dModel, sliceLength, numSequences] = [16, 32, 3];

function specOf(use: string, options: Readonly<Record<string, number>>) {
  return jobSpecSchema.parse({
    model: {
      dModel,
      numLayers: 1,
      numHeads: 4,
      vocabSize: 8,
      mlp: 0,
      layers: [{ use, options, file: null }],
    },
    data: { path: 'unused' },
  });
}

const trace = (use: string, options: Readonly<Record<string, number>>, numSlices: number) =>
  traceModel(specOf(use, options), { numSequences, sliceLength, numSlices });

test('trace of attention ~> bytes of keys and values, and how far back they are wanted', async () => {
  const bytes = 4 * 2 * numSequences * sliceLength * dModel;
  const gathersOf = async (use: string, options: Readonly<Record<string, number>>) =>
    (await trace(use, options, 3)).gathers;
  assert.equal(await gathersOf('softmax-attention', {}), [
    { layer: 0, sliceBytes: bytes, reachSlices: null },
  ]);
  assert.equal(await gathersOf('softmax-attention', { numKvHeads: 2, window: 9 }), [
    { layer: 0, sliceBytes: bytes / 2, reachSlices: 8 / 32 },
  ]);
  assert.equal(await gathersOf('rat', { chunk: 8 }), [
    { layer: 0, sliceBytes: bytes / 8, reachSlices: null },
  ]);
  assert.equal(await gathersOf('gla', {}), []);
});

test('trace of attention ~> is that of the last rank, which holds and multiplies the most', async () => {
  const [alone, last] = [await trace('softmax-attention', {}, 1), await trace('softmax-attention', {}, 4)];
  // Keys and values of three more slices, kept for the backward pass.
  assert.ok(last.activationBytes >= alone.activationBytes + 3 * 4 * 2 * numSequences * sliceLength * dModel);
  // Per query and head, forward and backward: 7 products of K numbers for each of 96 more keys.
  assert.is(last.flopsPerToken - alone.flopsPerToken, 2 * 7 * dModel * 3 * sliceLength);
  const window = await trace('softmax-attention', { window: 4 }, 4);
  assert.ok(window.flopsPerToken < alone.flopsPerToken);
});

test.run();
