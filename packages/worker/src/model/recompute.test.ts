import { randomSource } from '@longscan/kernels/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Batch } from '../data/index.js';
import { type JobSpec, jobSpecSchema } from '../protocol/job-spec.js';
import { openTrainingRanks } from '../testing/training-ranks.js';
import { trainStep } from '../training/train-step.js';
import { traceModel } from './trace.js';

const sliceLength = 80;
const numSteps = 3;
const mixers = ['gla', 'lightning', 'linear-attention', 'rat', 'simple-gla', 'softmax-attention'];
const layers = [...mixers, ...mixers];

type Recompute = Pick<JobSpec['model'], 'recompute'> & Partial<Pick<JobSpec['model'], 'recomputedBlocks'>>;

function specOf(recompute: Recompute): JobSpec {
  return jobSpecSchema.parse({
    model: {
      ...{ dModel: 32, numLayers: layers.length, numHeads: 2, vocabSize: 40, mlp: 64, ...recompute },
      layers: layers.map((use) => ({ use, options: {}, file: null })),
    },
    data: { path: 'unused', sequenceLength: 3 * sliceLength },
    optimizer: {},
  });
}

function batchOf(step: number, rank: number, isPacked: boolean): Batch {
  const next = randomSource(100 * step + rank);
  const draw = (limit: number) =>
    Int32Array.from({ length: 2 * sliceLength }, () => Math.floor(limit * next()));
  return {
    ...{ numSequences: 2, sliceLength, tokens: draw(40), labels: draw(40), numValidTokens: 6 * sliceLength },
    resets: isPacked ? draw(20).map((value) => Number(value === 0)) : null,
    // The open document began anywhere before: no two runs that are compared disagree about it.
    openTokens: isPacked ? draw(sliceLength * rank + 1).subarray(0, 2) : null,
  };
}

/** Three ranks, three steps: what every rank saw, the weights, and the highest memory of rank 1. */
async function train(recompute: Recompute, strategy: string, isPacked: boolean) {
  const spec = specOf(recompute);
  const lengths = [sliceLength, sliceLength, sliceLength];
  const ranks = await openTrainingRanks(spec, { lengths, strategy });
  const { device } = ranks[1]!;
  const atRest = device.memory({ resetPeak: true }).inUseBytes;
  const steps = [];
  for (let step = 1; step <= numSteps; step++) {
    const all = ranks.map((training, rank) => {
      const batches = [batchOf(step, rank, isPacked)];
      return trainStep(training, batches, step, 1e-2, { stop: false, save: false });
    });
    steps.push(await Promise.all(all));
  }
  const weights = await ranks[0]!.parameters.values.readNumbers();
  const { peakBytes, inUseBytes } = device.memory();
  for (const rank of ranks) rank.device.close();
  return { steps, weights, peakBytes: peakBytes - atRest, leakedBytes: inUseBytes - atRest };
}

for (const strategy of ['ring', 'all-gather', 'all-scan']) {
  for (const isPacked of [false, true]) {
    test(`recompute ~> ${strategy}, packed ${isPacked}: the same bits and bytes sent, less memory`, async () => {
      const [kept, again] = [
        await train({ recompute: false }, strategy, isPacked),
        await train({ recompute: true }, strategy, isPacked),
      ];
      // Losses, gradient norms, bytes of each direction, on each rank.
      assert.equal(again.steps, kept.steps);
      assert.equal(again.weights, kept.weights);
      assert.ok(again.steps[0]![0]!.spBytesSentForward > 0);
      assert.ok(again.peakBytes < 0.5 * kept.peakBytes, `${again.peakBytes} of ${kept.peakBytes} bytes`);
      assert.is(again.leakedBytes, 0);
    });
  }
}

test('recompute ~> norms and activations alone: the same bits, memory between keeping all and blocks', async () => {
  const [kept, cheap, blocks] = [
    await train({ recompute: false }, 'all-scan', true),
    await train({ recompute: 'cheap' }, 'all-scan', true),
    await train({ recompute: true }, 'all-scan', true),
  ];
  assert.equal(cheap.steps, kept.steps);
  assert.equal(cheap.weights, kept.weights);
  assert.ok(cheap.peakBytes < 0.8 * kept.peakBytes, `${cheap.peakBytes} of ${kept.peakBytes} bytes`);
  assert.ok(blocks.peakBytes < cheap.peakBytes);
  assert.is(cheap.leakedBytes, 0);
});

for (const recompute of ['cheap', true] as const) {
  test(`recompute ${recompute} ~> of the first blocks: the same bits, memory between none and all`, async () => {
    const [none, some, most, all] = [
      await train({ recompute: false }, 'all-scan', true),
      await train({ recompute, recomputedBlocks: 4 }, 'all-scan', true),
      await train({ recompute, recomputedBlocks: 9 }, 'all-scan', true),
      await train({ recompute }, 'all-scan', true),
    ];
    for (const { steps, weights, leakedBytes } of [some, most]) {
      assert.equal(steps, none.steps);
      assert.equal(weights, none.weights);
      assert.is(leakedBytes, 0);
    }
    assert.ok(all.peakBytes < most.peakBytes);
    assert.ok(most.peakBytes < some.peakBytes);
    assert.ok(some.peakBytes < none.peakBytes);
    const whole = await train({ recompute, recomputedBlocks: layers.length }, 'all-scan', true);
    assert.is(whole.peakBytes, all.peakBytes);
  });
}

test('recompute ~> the planner sees its memory and its work, and each scan once', async () => {
  const sizes = { numSequences: 2, sliceLength };
  const [kept, again] = [
    await traceModel(specOf({ recompute: false }), sizes),
    await traceModel(specOf({ recompute: true }), sizes),
  ];
  assert.equal(again.recurrences, kept.recurrences);
  assert.ok(again.activationBytes < 0.3 * kept.activationBytes);
  assert.ok(again.flopsPerToken > 1.2 * kept.flopsPerToken && again.flopsPerToken < 1.5 * kept.flopsPerToken);
});

test.run();
