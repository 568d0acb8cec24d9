import type { LongscanError, NativeObserver } from '@longscan/kernels';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { progressWord } from '../control/progress.js';
import { type JobSpec, jobSpecSchema } from '../protocol/job-spec.js';
import { blankBatches } from '../schedule/blank-batches.js';
import { textOf } from '../testing/documents.js';
import { plainPlan } from '../testing/plain-plan.js';
import { openPlannedRanks } from '../testing/planned-ranks.js';
import { type RanksOfDocuments, trainOnDocuments } from '../testing/train-on-documents.js';
import { trainStep } from './train-step.js';

const text = textOf([50, 120, 7, 300]);
const windows = [0, 96, 192, 288].map((start) => ({ start, numTokens: 96 }));

type Sections = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** `bucket` null: gradients are summed at the end, all at once. */
function specOf(bucket: string | null, { model, ...sections }: Sections = {}): JobSpec {
  return jobSpecSchema.parse({
    model: {
      ...{ dModel: 32, numLayers: 2, numHeads: 2, vocabSize: 40, mlp: 32 },
      layers: ['gla', 'deltanet'].map((use) => ({ use, options: {}, file: null })),
      ...model,
    },
    data: { path: 'unused', format: 'jsonl', sequenceLength: 96, packing: true },
    // Large against gradients that are nearly zero, whose rounding errors a division would show.
    optimizer: { eps: 1e-3, clipNorm: 0.1 },
    ...sections,
    parallel: { ...sections.parallel, ...(bucket !== null && { gradientBucket: bucket }) },
  });
}

const train = (spec: JobSpec, ranks: RanksOfDocuments, accumulate = 2) =>
  trainOnDocuments(spec, { ...ranks, text, windows, numSteps: 3, accumulate });

const meshes: readonly Required<Pick<RanksOfDocuments, 'lengths' | 'dp'>>[] = [
  { lengths: [48, 48], dp: 1 },
  { lengths: [96], dp: 2 },
  { lengths: [32, 32, 32], dp: 1 },
  { lengths: [48, 48], dp: 2 },
];

/** Ways to run a model, each with other work between the ends of its blocks. */
const ways: readonly [name: string, Sections][] = [
  ['kept', {}],
  ['recomputed', { model: { recompute: true } }],
  ['cheap', { model: { recompute: 'cheap', tieEmbeddings: false } }],
  // A part of the embedding is the head.
  [
    'masked',
    {
      model: {
        objective: 'masked',
        layers: [{ use: 'linear-attention', options: {}, file: null }],
        numLayers: 1,
      },
    },
  ],
];

for (const mesh of meshes) {
  const name = `sp=${mesh.lengths.length} dp=${mesh.dp}`;
  for (const zero of [0, 1]) {
    test(`gradient sums ~> ${name} zero=${zero}: in buckets as all at once, and as on one rank`, async () => {
      const parallel = { zero };
      const whole = await train(specOf(null, { parallel }), mesh);
      const cut = await train(specOf('4KiB', { parallel }), mesh);
      const alone = await train(specOf(null), { lengths: [96] });
      for (const weights of cut.weights)
        assert.equal(weights, cut.weights[0], 'every rank has the same bits');
      cut.steps.forEach(({ loss, clip }, i) => {
        for (const expected of [whole.steps[i]!, alone.steps[i]!]) {
          assert.ok(Math.abs(loss / expected.loss - 1) < 1e-11, `step ${i + 1}: ${loss}, ${expected.loss}`);
          assert.ok(Math.abs(clip.norm / expected.clip.norm - 1) < 1e-8, `step ${i + 1}, norm`);
        }
      });
      // A sum of two numbers has one order, and so the same bits wherever it is taken.
      if (mesh.lengths.length * mesh.dp > 2 || zero === 1) return;
      assert.equal(cut.steps, whole.steps);
      assert.equal(cut.weights, whole.weights);
    });
  }
}

for (const [name, sections] of ways) {
  for (const strategy of ['ring', 'all-gather', 'doubling-scan']) {
    if (name === 'masked' && strategy !== 'ring') continue;
    test(`gradient sums ~> ${name}, ${strategy}, in f32: the bits of sums at the end`, async () => {
      const run = (bucket: string | null) =>
        train(specOf(bucket, sections), { ...meshes[0]!, strategy, dtype: 'f32' }, 1);
      const [whole, cut] = [await run(null), await run('2KiB')];
      assert.equal(cut.steps, whole.steps);
      assert.equal(cut.weights, whole.weights);
    });
  }
}

test('gradient sums ~> time slices: only the pass over the first slice has them, with the bits of sums at the end', async () => {
  const run = (bucket: string | null) =>
    train(specOf(bucket, { model: { timeSlice: 32 } }), { ...meshes[1]!, dtype: 'f32' });
  const [whole, cut] = [await run(null), await run('2KiB')];
  assert.equal(cut.steps, whole.steps);
  assert.equal(cut.weights, whole.weights);
});

/** A job of two ranks with four blocks, each of whose buckets is one of them. */
function blocksOf(parallel: Partial<JobSpec['parallel']>): JobSpec {
  return jobSpecSchema.parse({
    model: {
      ...{ dModel: 32, numLayers: 4, numHeads: 2, vocabSize: 40, mlp: 32, chunk: 16 },
      layers: ['gla', 'rwkv6', 'deltanet', 'gla'].map((use) => ({ use, options: {}, file: null })),
    },
    data: { path: 'unused', sequenceLength: 96, batchSize: 2 },
    parallel: { ...parallel, gradientBucket: '1KiB' },
  });
}

/** Resolves when a communicator has begun its first collective. */
async function begun(words: Int32Array): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (Atomics.load(words, progressWord.collective) < 1) {
    assert.ok(performance.now() < deadline, 'no sum has begun');
    await new Promise(setImmediate);
  }
}

for (const parallel of [{ sp: 2 }, { dp: 2 }, { sp: 2, dp: 2, zero: 1 }]) {
  const name = JSON.stringify(parallel);
  test(`gradient sums ~> ${name}: the first has begun on all ranks while their backward passes are held`, async () => {
    // Where the first sum is enqueued, the compute stream is held: what comes after it is the rest of the backward pass.
    const gates: (() => void)[] = [];
    const verbs: string[][] = [];
    const isSum = (op: string) => op === 'commAllReduce' || op === 'commReduceScatter';
    const ranks = await openPlannedRanks(plainPlan(blocksOf(parallel)), (rank): NativeObserver => {
      verbs[rank] = [];
      return (op) => {
        if (op === 'linearWeightGradient' || isSum(op)) verbs[rank]!.push(op);
        const isFirst = isSum(op) && verbs[rank]!.filter(isSum).length === 1;
        if (isFirst) gates[rank] = ranks[rank]!.device.compute.closeGate();
      };
    });
    try {
      const slots = ranks.map(({ mesh }) => {
        const words = new Int32Array(new SharedArrayBuffer(64));
        mesh.world!.attachProgress(words, progressWord.collective);
        return words;
      });
      const ends = ranks.map(({ device, mesh }) =>
        [device.compute, mesh.world!.stream].map((stream) => stream.trace({ maxSpans: 4096 })),
      );
      const plan = plainPlan(blocksOf(parallel));
      const steps = ranks.map((training, rank) =>
        trainStep(training, blankBatches(plan, rank, true), 1, 1e-3, { stop: false, save: false }),
      );
      assert.is(gates.length, ranks.length);
      for (const words of slots) await begun(words);
      const numBuckets = ranks[0]!.parameters.buckets.length;
      assert.ok(numBuckets >= 4);
      for (const [rank, { device }] of ranks.entries()) {
        assert.not(device.compute.isIdle());
        const ops = verbs[rank]!;
        assert.equal(ops, verbs[0], 'the same order on all ranks');
        // Buckets, then loss and wishes, then under ZeRO the norm.
        assert.ok(ops.filter(isSum).length >= numBuckets + 1);
        const behind = ops.slice(ops.findIndex(isSum)).filter((op) => op === 'linearWeightGradient');
        assert.ok(behind.length > ops.filter((op) => op === 'linearWeightGradient').length / 2);
      }
      for (const open of gates) open();
      for (const [compute, world] of await Promise.all(
        ends.map((both) => Promise.all(both.map((end) => end()))),
      )) {
        const first = world!.spans.find(({ collective }) => collective !== null)!;
        const end = compute!.marks.find(({ name }) => name === 'reduce')!;
        assert.ok(world!.beginUs + first.beginUs < compute!.beginUs + end.us, 'the trace shows it, too');
      }
      const losses = (await Promise.all(steps)).map(({ loss }) => loss);
      assert.ok(losses.every((loss) => loss === losses[0] && Number.isFinite(loss)));
    } finally {
      for (const { device } of ranks) device.close();
    }
  });
}

test('gradient sums ~> a peer that dies with a sum under way ends the step of the others', async () => {
  const plan = plainPlan(blocksOf({ dp: 2 }));
  const ranks = await openPlannedRanks(plan);
  try {
    const words = new Int32Array(new SharedArrayBuffer(64));
    ranks[0]!.mesh.world!.attachProgress(words, progressWord.collective);
    // The second rank comes to no sum.
    const open = ranks[1]!.device.compute.closeGate();
    const [first, second] = ranks.map((training, rank) =>
      trainStep(training, blankBatches(plan, rank, true), 1, 1e-3, { stop: false, save: false }),
    );
    second!.catch(() => undefined);
    await begun(words);
    ranks[1]!.mesh.world!.abort('it was killed');
    open();
    const error = await first!.then(
      () => assert.unreachable('the step ended well'),
      (reason: LongscanError) => reason,
    );
    assert.is((error as LongscanError).code, 'E-COMM-PEER');
  } finally {
    for (const { device } of ranks) device.close();
  }
});

test('gradient sums ~> of several micro-batches only the last has any', async () => {
  const job = blocksOf({ dp: 2 });
  const plan = plainPlan({ ...job, data: { ...job.data, batchSize: 4, accumulate: 2 } });
  const marks: string[] = [];
  const ranks = await openPlannedRanks(plan, (rank) => (op) => {
    if (rank === 0 && (op === 'crossEntropyForward' || op === 'commAllReduce')) marks.push(op);
  });
  try {
    await Promise.all(
      ranks.map((training, rank) =>
        trainStep(training, blankBatches(plan, rank, true), 1, 1e-3, { stop: false, save: false }),
      ),
    );
    assert.equal(marks.slice(0, 3), ['crossEntropyForward', 'crossEntropyForward', 'commAllReduce']);
  } finally {
    for (const { device } of ranks) device.close();
  }
});

test.run();
