import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { AttentionStrategy } from '../attention-strategy.js';
import { loadAttentionStrategy } from '../load-strategy.js';
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

const trace = (
  use: string,
  options: Readonly<Record<string, number>>,
  numSlices: number,
  attention?: AttentionStrategy,
) => traceModel(specOf(use, options), { numSequences, sliceLength, numSlices, attention });

test('trace of attention ~> its calls, whatever they will cost', async () => {
  const callsOf = async (use: string, options: Readonly<Record<string, number>>) =>
    (await trace(use, options, 3)).attentions;
  const call = { layer: 0, numSequences, numHeads: 4, numKeyHeads: 4, keySize: 4, valueSize: 4 };
  const whole = { ...call, window: null, chunk: null };
  assert.equal(await callsOf('softmax-attention', {}), [whole]);
  assert.equal(await callsOf('softmax-attention', { numKvHeads: 2, window: 9 }), [
    { ...whole, numKeyHeads: 2, window: 9 },
  ]);
  assert.equal(await callsOf('rat', { chunk: 8 }), [{ ...whole, chunk: 8 }]);
  assert.equal(await callsOf('gla', {}), []);
});

test('trace of attention ~> under a strategy, of the last rank, where none holds or multiplies more', async () => {
  const alone = await trace('softmax-attention', {}, 1);
  const keyBytes = 4 * 2 * numSequences * sliceLength * dModel;
  const flopsPerPair = 2 * 7 * dModel;
  for (const name of ['kv-all-gather', 'ring-attention', 'head-all-to-all']) {
    const one = await trace('softmax-attention', {}, 4, await loadAttentionStrategy(name));
    // Half of all pairs, in equal parts: per token of its slice those of 4 slices, and half a diagonal.
    const pairs = (4 * sliceLength) / 2 + 1 / 2;
    const ownPairs = (sliceLength + 1) / 2;
    assert.is(one.flopsPerToken - alone.flopsPerToken, flopsPerPair * (pairs - ownPairs), name);
    // Keys and values of three more slices, kept for the backward pass.
    const isWhole = one.activationBytes >= alone.activationBytes + 3 * keyBytes;
    assert.is(isWhole, name === 'kv-all-gather', name);
  }
  const window = await trace(
    'softmax-attention',
    { window: 4 },
    4,
    await loadAttentionStrategy('kv-all-gather'),
  );
  assert.ok(window.flopsPerToken < alone.flopsPerToken);
});

test.run();
