import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type JobSpec, jobSpecSchema } from '../protocol/job-spec.js';
import type { Plan } from '../protocol/plan.js';
import { plainPlan } from '../testing/plain-plan.js';
import { openPlannedRanks } from '../testing/planned-ranks.js';
import { gatherMoments } from '../training/gather-moments.js';
import { trainStep } from '../training/train-step.js';
import { blankBatches } from './blank-batches.js';
import { traceMemory } from './step-memory.js';

interface Measured {
  readonly peakBytes: number;
  readonly reservedBytes: number;
}

/**
 * What real training takes on the rank that needs most. The ranks' compute streams are held while a step is enqueued, as if
 * its kernels took long: then which memory is free does not depend on time.
 */
async function measured(plan: Plan): Promise<Measured> {
  const ranks = await openPlannedRanks(plan);
  try {
    for (let step = 1; step <= 3; step++) {
      await Promise.all(
        ranks.map((training, rank) => {
          const { device, carry } = training;
          carry?.startStep((step - 1) * plan.jobSpec.data.sequenceLength);
          const open = device.compute.closeGate();
          const done = trainStep(training, blankBatches(plan, rank, true), step, 1e-3, {
            stop: false,
            save: false,
          });
          open();
          return done;
        }),
      );
    }
    for (const { mesh, optimizer } of ranks) {
      for (const { m, v } of gatherMoments(mesh.world, optimizer) ?? []) {
        m.release();
        v.release();
      }
    }
    await Promise.all(ranks.map(({ device }) => device.compute.sync()));
    const memory = ranks.map(({ device }) => device.memory());
    return {
      peakBytes: Math.max(...memory.map(({ peakBytes }) => peakBytes)),
      reservedBytes: Math.max(...memory.map(({ reservedBytes }) => reservedBytes)),
    };
  } finally {
    for (const { device } of ranks) device.close();
  }
}

type Sections = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

function jobOf(layers: readonly string[], sections: Sections = {}): JobSpec {
  const { model, data, ...rest } = sections;
  return jobSpecSchema.parse({
    model: {
      ...{ dModel: 64, numLayers: layers.length, numHeads: 2, vocabSize: 256, mlp: 192, chunk: 16 },
      layers: layers.map((use) => ({ use, options: {}, file: null })),
      ...model,
    },
    data: { path: 'unused', sequenceLength: 384, batchSize: 2, ...data },
    ...rest,
  });
}

const on = (sp: number, more: object = {}) => ({ parallel: { sp, ...more } });
const packed = { packing: true, format: 'jsonl' };
const mixed = ['gla', 'gated-deltanet', 'mamba2', 'lightning'];

const cases: Readonly<Record<string, Plan>> = {
  'one rank': plainPlan(jobOf(mixed)),
  ...Object.fromEntries(
    ['all-scan', 'ring', 'all-gather', 'doubling-scan', 'two-level'].flatMap((strategy) =>
      [2, 4].map((sp) => [`${strategy}, ${sp} ranks`, plainPlan(jobOf(mixed, on(sp)), { strategy })]),
    ),
  ),
  ...Object.fromEntries(
    ['kv-all-gather', 'ring-attention', 'head-all-to-all'].map((attention) => [
      `hybrid, ${attention}`,
      plainPlan(jobOf(['gla', 'softmax-attention'], on(2)), { attention }),
    ]),
  ),
  'slices handed on one after the other': plainPlan(jobOf(['slstm', 'gla'], on(3)), { strategy: 'ring' }),
  replicas: plainPlan(jobOf(mixed, on(2, { dp: 2 }))),
  'sharded optimizer': plainPlan(jobOf(mixed, on(2, { dp: 2, zero: 1 }))),
  'gradients in buckets, sharded optimizer': plainPlan(
    jobOf(mixed, on(2, { dp: 2, zero: 1, gradientBucket: '16KiB' })),
  ),
  'cheap outputs made again': plainPlan(jobOf(mixed, { ...on(2), model: { recompute: 'cheap' } })),
  'recomputed blocks': plainPlan(jobOf(mixed, { ...on(2), model: { recompute: true } })),
  'time slices': plainPlan(jobOf(mixed, { model: { timeSlice: 96 } })),
  'time slices, outputs of MLPs kept': plainPlan(jobOf(mixed, { model: { timeSlice: 100, keptMlps: 2 } })),
  'micro-batches': plainPlan(jobOf(mixed, { ...on(2), data: { accumulate: 2 } })),
  'memory that is carried': plainPlan(jobOf(['gla', 'rwkv6'], { ...on(3), data: { carry: true } })),
  'deterministic mode': plainPlan(
    jobOf(['gla', 'lightning'], {
      ...on(2),
      job: { deterministic: true, canonicalSegments: 4 },
      data: { sequenceLength: 256, batchSize: 4 },
    }),
  ),
  'masked objective': plainPlan(
    jobOf(['gla', 'softmax-attention'], { ...on(3), model: { objective: 'masked' } }),
  ),
  'packed documents': plainPlan(jobOf(['gla', 'mamba2', 'softmax-attention'], { ...on(3), data: packed })),
};

for (const [title, plan] of Object.entries(cases)) {
  test(`memory ~> bytes of real training: ${title}`, async () => {
    const { peakBytes, reservedBytes } = await traceMemory(plan);
    assert.equal({ peakBytes, reservedBytes }, await measured(plan));
  });
}

test('memory ~> a chain through mapped memory needs no state to send from', async () => {
  const plan = cases['ring, 4 ranks']!;
  const chains = { carrier: 'mapped-memory', reason: 'one host' } as const;
  const [messages, mapped] = [await traceMemory(plan), await traceMemory({ ...plan, chains })];
  assert.ok(mapped.communicationBytes > 0, 'what enters is there');
  assert.ok(mapped.communicationBytes < messages.communicationBytes);
  assert.ok(mapped.peakBytes <= messages.peakBytes);
});

test.run();
