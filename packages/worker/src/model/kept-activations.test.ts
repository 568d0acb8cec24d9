import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { jobSpecSchema } from '../protocol/job-spec.js';
import { traceModel } from './trace.js';

// What a layer keeps from its forward to its backward pass, in full; sizes are powers of two, which no allocator rounds,
// but for one.

const [T, D, F, H] = [2048, 128, 256, 2];
/** Bytes of bf16 tensors [T, D], [T, F] and of a norm's f32 statistics. */
const [X, hidden, statistics] = [2 * T * D, 2 * T * F, 4 * T];

type Recompute = false | 'cheap';

async function bytesOf(numLayers: number, use: string, options: object, recompute: Recompute) {
  const layers = Array.from({ length: numLayers }, () => ({ use, options, file: null }));
  const spec = jobSpecSchema.parse({
    model: {
      ...{ dModel: D, numLayers, numHeads: H, vocabSize: 512, mlp: F, layers },
      ...{ precision: 'bf16', recompute },
    },
    data: { path: 'unused', sequenceLength: T },
    device: { kind: 'cuda' },
  });
  const { activationBytes } = await traceModel(spec, { numSequences: 1, sliceLength: T });
  return activationBytes;
}

/** 64 tokens of a head with 32 keys, 64 values. */
const ofChunk = 2 * (2 * 64 * 32) + 4 * 32 + 2 * (2 * 64 * 64) + 2 * 64 * 64;
const ofChunks = rounded(H * (T / 64) * ofChunk);
/** The states before so many segments of a slice, on a GPU; K keys and 64 values a head, in f32. */
const states = (numSegments: number, K: number) => 4 * H * numSegments * K * 64;

/** As allocators do: up to an eighth of the power of two below. */
function rounded(bytes: number): number {
  const step = 2 ** (Math.floor(Math.log2(bytes)) - 3);
  return step * Math.ceil(bytes / step);
}

const plainHeads = { featureMap: 'identity', normalize: false, outputNorm: true };

for (const [use, options, ofMixer] of [
  // q, k, v and the output, states before 4 chunks each and behind all; the output's norm.
  ['linear-attention', plainHeads, { kept: 4 * X + H * statistics + states(T / 256 + 1, 64), cheap: X }],
  // q, k [T, D/2], v and the output, the output's gate, decays [T, D/2] as logits, what the narrow gate makes of x, states.
  // Cheap there: log decays; queries and keys as decayed, chunks' decays, scores in two terms, states before chunks.
  ['gla', {}, { kept: 4.5 * X + H * statistics + 2 * T * 16 + states(T / 256, 32), cheap: X + X + ofChunks }],
] as const) {
  for (const recompute of [false, 'cheap'] as const) {
    test(`${use}, recompute ${recompute} ~> a layer keeps what its backward pass cannot do without`, async () => {
      const found = (await bytesOf(5, use, options, recompute)) - (await bytesOf(4, use, options, recompute));
      // The stream before mixer and MLP with its statistics, gate and up.
      const always = 2 * (X + statistics) + 2 * hidden + ofMixer.kept;
      // Normed rows, the product of gate and up, and of the mixer its normed output; log decays in f32.
      const cheap = recompute === 'cheap' ? 0 : 2 * X + hidden + ofMixer.cheap;
      assert.is(found, always + cheap);
    });
  }
}

test.run();
