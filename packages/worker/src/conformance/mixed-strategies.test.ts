import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { jobSpecSchema } from '../protocol/job-spec.js';
import { trainOnText } from '../testing/train-on-text.js';

const length = 96;
const uses = ['gla', 'deltanet', 'softmax-attention', 'simple-gla', 'mamba2'];
const spec = jobSpecSchema.parse({
  model: {
    ...{ dModel: 64, numLayers: uses.length, numHeads: 2, vocabSize: 40, mlp: 32 },
    layers: uses.map((use) => ({ use, options: {}, file: null })),
  },
  data: { path: 'unused', sequenceLength: length },
});
const strategies = ['all-gather', 'two-level', 'ring', 'doubling-scan', 'all-scan'];

test('layers with a strategy each ~> the losses and gradient norms of one rank, whichever has which', async () => {
  const steps = { starts: [0, 0], rate: 1e-2 };
  const alone = await trainOnText(spec, { ...steps, lengths: [length] });
  for (let shift = 0; shift < strategies.length; shift++) {
    const strategy = strategies.map((_, i) => strategies[(i + shift) % strategies.length]!);
    const cut = await trainOnText(spec, { ...steps, lengths: [24, 24, 24, 24], strategy });
    assert.is(cut.results.length, 2);
    cut.results.forEach(({ loss, clip }, i) => {
      const expected = alone.results[i]!;
      const where = `${strategy}, step ${i + 1}`;
      assert.ok(Math.abs(loss / expected.loss - 1) < 1e-9, `${where}: loss ${loss}, not ${expected.loss}`);
      assert.ok(Math.abs(clip.norm / expected.clip.norm - 1) < 1e-8, `${where}: norm ${clip.norm}`);
    });
  }
});

test.run();
