import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { jobSpecSchema } from '../protocol/job-spec.js';
import { traceModel } from './trace.js';

const sizes = { numSequences: 1, sliceLength: 2048 };

function specOf(precision: 'f32' | 'bf16', use: string) {
  const layers = [0, 1].map(() => ({ use, options: {}, file: null }));
  return jobSpecSchema.parse({
    model: { dModel: 128, numLayers: 2, numHeads: 2, vocabSize: 512, mlp: 256, layers, precision },
    data: { path: 'unused', sequenceLength: 2048 },
  });
}

for (const use of ['gla', 'linear-attention', 'gated-deltanet', 'softmax-attention']) {
  test(`${use} ~> in bf16 half the activations, and the same work`, async () => {
    const [single, rounded] = [
      await traceModel(specOf('f32', use), sizes),
      await traceModel(specOf('bf16', use), sizes),
    ];
    assert.is(rounded.numParameters, single.numParameters);
    // Log decays, gates and statistics stay f32.
    const kept = rounded.activationBytes / single.activationBytes;
    assert.ok(kept > 0.45 && kept < 0.75, `${kept} of the activations`);
    const work = rounded.flopsPerToken / single.flopsPerToken;
    assert.ok(Math.abs(work - 1) < 0.02, `${work} of the operations`);
    // States travel as f32, rows before a slice as the activations are.
    assert.equal(
      rounded.recurrences.map(({ stateBytes }) => stateBytes),
      single.recurrences.map(({ stateBytes }) => stateBytes),
    );
    assert.equal(
      rounded.halos.map(({ bytes }) => 2 * bytes),
      single.halos.map(({ bytes }) => bytes),
    );
  });
}

test.run();
