import {
  type JobFile,
  type JobSpec,
  jobFileSchema,
  type ModelTrace,
  planSchema,
} from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Fabric } from '../fabric/fabric.js';
import type { AttentionPlan } from './attention.js';
import { layOut } from './layout.js';
import { plan } from './plan.js';
import type { StrategyCost } from './strategies.js';

interface Sizes {
  readonly sp?: number;
  readonly dp?: number;
  readonly sequenceLength?: number;
  readonly batchSize?: number;
  readonly chunk?: number;
  readonly strategy?: string;
  readonly blocks?: number | 'auto';
  readonly zero?: number;
  readonly moments?: 'f32' | 'bf16';
  readonly timeSlice?: number;
  readonly keptMlps?: number;
}

function jobOf({
  sp = 1,
  dp = 1,
  sequenceLength = 1024,
  batchSize = 1,
  chunk = 64,
  strategy = 'auto',
  blocks = 'auto',
  zero = 0,
  moments = 'f32',
  timeSlice = 0,
  keptMlps = 0,
}: Sizes): JobSpec {
  const job: JobFile = jobFileSchema.parse({
    data: { path: '/text', sequenceLength, batchSize },
    parallel: { sp, dp, strategy, blocks, zero },
    optimizer: { moments },
    model: { chunk, numLayers: 2, mlp: 0, timeSlice, keptMlps },
  });
  const { layer: _, ...model } = job.model;
  const layers = [0, 1].map(() => ({ use: 'gla', options: {}, file: null }));
  const device = { ...job.device, engine: 'tcp' } as const;
  return { ...job, device, model: { ...model, mlp: 0, layers } };
}

/** Not the measured one, so that a new measurement changes no test. */
const fabric: Fabric = { name: 'test link', latencyS: 27e-6, gapS: 8e-6, bandwidthBytesPerS: 1.5e9 };

const trace: ModelTrace = {
  numParameters: 1000,
  activationBytes: 5000,
  keptMlpBytes: 3072,
  flopsPerToken: 6000,
  recurrences: [
    { layer: 0, stateBytes: 4096, stateRows: 64, numHeads: 2, transitionBytes: 128, kind: 'diagonal' },
    { layer: 1, stateBytes: 8192, stateRows: 64, numHeads: 2, transitionBytes: 0, kind: 'scalar' },
  ],
  halos: [],
  attentions: [],
  sums: [],
  fetches: [],
  layers: [
    { name: 'gla', sliceMultiple: 1 },
    { name: 'simple-gla', sliceMultiple: 1 },
  ],
};

/** Plans are made of costs alone here. */
const start = (): never => {
  throw new Error('nothing is run');
};

/** A chain sends the state onwards except at its end; a gather sends everything everywhere. */
const chain: StrategyCost = {
  name: 'chain',
  start,
  cost: (worldSize, { state }) => ({
    seconds: (worldSize - 1) * 1e-3,
    bytesSentByRank: Array.from({ length: worldSize }, (_, rank) => (rank < worldSize - 1 ? state : 0)),
  }),
};
const gather: StrategyCost = {
  name: 'gather',
  start,
  cost: (worldSize, { state, transition }) => ({
    seconds: 2e-3,
    bytesSentByRank: Array.from({ length: worldSize }, () => (worldSize - 1) * (state + transition)),
  }),
};

function planOf(
  sizes: Sizes,
  strategies: readonly StrategyCost[] = [gather, chain],
  model = trace,
  given?: AttentionPlan,
  links = fabric,
) {
  const jobSpec = jobOf(sizes);
  const layout = layOut(jobSpec);
  const nothing = { strategy: 'any', seconds: 0, bytesSentByRank: layout.slices.map(() => 0) };
  const attention = given ?? { strategy: 'any', cost: nothing, modelled: [] };
  return plan({ jobSpec, layout, trace: model, strategies, attention, fabric, links });
}

test('slices are contiguous, equally long and whole chunks', () => {
  const { slices, paddedLength, padTokens, notes } = planOf({ sp: 4, sequenceLength: 1024 });
  assert.equal(
    slices,
    [0, 256, 512, 768].map((start) => ({ start, length: 256, numTokens: 256 })),
  );
  assert.is(paddedLength, 1024);
  assert.is(padTokens, 0);
  assert.not.ok(notes.some((note) => note.includes('padded')));
});

test('buckets of gradients go by the links of all ranks, between nodes too', () => {
  const large = { ...trace, numParameters: 1e9 };
  const between = { latencyS: 27e-6, gapS: 8e-6, bandwidthBytesPerS: 1e9 };
  const inside: Fabric = { ...fabric, bandwidthBytesPerS: 3e11 };
  const bucketOf = (links: Fabric) =>
    planOf({ sp: 2, dp: 2, batchSize: 2 }, undefined, large, undefined, links).gradientBucketBytes!;
  assert.ok(bucketOf({ ...inside, nodes: { ranksPerNode: 2, between } }) < bucketOf(inside));
});

test('padding goes to the end and is told', () => {
  const { slices, paddedLength, padTokens, notes } = planOf({ sp: 2, sequenceLength: 1000 });
  assert.is(paddedLength, 1024);
  assert.is(padTokens, 24);
  assert.equal(slices, [
    { start: 0, length: 512, numTokens: 512 },
    { start: 512, length: 512, numTokens: 488 },
  ]);
  assert.is(
    notes[0],
    '1000 tokens are padded to 1024: 24 masked tokens at the end of the last slice, which holds 488 real ones',
  );
});

test('an empty slice is refused with what would fit', () => {
  assert.throws(
    () => layOut(jobOf({ sp: 4, sequenceLength: 100 })),
    (error: Error) =>
      error.message ===
      'error[E-SHAPE] parallel.sp: 100 tokens in slices of 64 (whole chunks of 64) fill 2 of 4 ranks, expected at least one token on every rank. Fix: data.sequenceLength >= 193, or parallel.sp = 2, or model.chunk = 32',
  );
});

test('what the message about an empty slice proposes does fit', () => {
  for (const sequenceLength of [1, 63, 64, 65, 100, 129, 1000]) {
    for (const sp of [2, 3, 4, 7, 8, 33]) {
      const sizes = { sp, sequenceLength };
      let message = '';
      try {
        layOut(jobOf(sizes));
      } catch (error) {
        message = (error as Error).message;
      }
      const proposed = (pattern: RegExp) => Number(pattern.exec(message)?.[1] ?? Number.NaN);
      const [length, ranks, chunk] = [/Length >= (\d+)/, /sp = (\d+)/, /chunk = (\d+)/].map(proposed);
      if (length) layOut(jobOf({ ...sizes, sequenceLength: length }));
      if (ranks) layOut(jobOf({ ...sizes, sp: ranks }));
      if (chunk) layOut(jobOf({ ...sizes, chunk }));
      assert.ok(message === '' || length, `${sequenceLength} tokens over ${sp} ranks: ${message}`);
    }
  }
});

test('the batch is divided over dp', () => {
  const { mesh, sequencesPerRank } = planOf({ sp: 2, dp: 3, batchSize: 6 });
  assert.equal(mesh, { sp: 2, dp: 3, numRanks: 6 });
  assert.is(sequencesPerRank, 2);
  assert.throws(
    () => planOf({ dp: 3, batchSize: 4 }),
    (error: Error) =>
      error.message ===
      'error[E-SHAPE] data.batchSize: 4 sequences for 3 equal shares (parallel.dp x data.accumulate), expected a multiple of 3. Fix: data.batchSize = 3 or 6',
  );
});

test('a rank holds at most so many tokens at once as 32 bits count', () => {
  const errorOf = (sizes: Parameters<typeof jobOf>[0]): string => {
    try {
      layOut(jobOf(sizes));
      return '';
    } catch (error) {
      return (error as Error).message;
    }
  };
  const most = 2 ** 31 - 1;
  const sizes = { sequenceLength: 2 ** 20, chunk: 64, sp: 2 };
  assert.is(errorOf({ ...sizes, batchSize: 2 ** 12 - 1 }), '');
  assert.is(
    errorOf({ ...sizes, batchSize: 2 ** 12 }),
    `error[E-SHAPE] data.batchSize: 4096 x 524288 tokens on each rank at once, expected at most ${most}. Fix: a smaller batch, or data.accumulate`,
  );
  assert.match(
    errorOf({ ...sizes, batchSize: Number.MAX_SAFE_INTEGER }),
    'data.batchSize: 9007199254740991 x',
  );
  assert.match(
    errorOf({ ...sizes, sequenceLength: 2 ** 33 }),
    'E-SHAPE] data.sequenceLength: 1 x 4294967296 tokens',
  );
});

test('auto takes the strategy that is modelled fastest, by name where equal', () => {
  assert.is(planOf({ sp: 2 }).strategy, 'chain');
  const long = planOf({ sp: 4 });
  assert.is(long.strategy, 'gather');
  assert.equal(
    long.notes,
    ['layer 0', 'layer 1'].map(
      (layer) =>
        `${layer}: gather was chosen: modelled for test link, its scans make a step 4.00 ms longer a layer, those of chain 6.00 ms`,
    ),
  );
  assert.is(planOf({ sp: 3 }).strategy, 'chain', 'both cost 2 ms');
  assert.is(planOf({ sp: 4, strategy: 'chain' }).strategy, 'chain');
  assert.equal(planOf({ sp: 1 }).notes, ['one rank holds the whole sequence: no state crosses ranks']);
});

test('bytes of a step: every recurrence forward, and the same in reverse', () => {
  const { modelled } = planOf({ sp: 3 });
  const bytes = Object.fromEntries(modelled.map((row) => [row.strategy, row.bytesSentByRank]));
  assert.equal(bytes.chain, [12_288, 24_576, 12_288]);
  assert.equal(bytes.gather, [49_664, 49_664, 49_664]);
});

test('halos cost every strategy the same: bytes to the next rank and back, one hop each', () => {
  const halos = [
    { layer: 0, bytes: 1000 },
    { layer: 1, bytes: 500 },
  ];
  const model = { ...trace, recurrences: [], halos };
  const free: StrategyCost = { name: 'free', start, cost: () => ({ seconds: 0, bytesSentByRank: [] }) };
  const [modelled] = planOf({ sp: 3 }, [free], model).modelled;
  assert.equal(modelled?.bytesSentByRank, [1500, 3000, 1500]);
  assert.is(modelled?.seconds, 2 * (2 * fabric.latencyS + 1500 / fabric.bandwidthBytesPerS));
  assert.equal(planOf({ sp: 1 }, [free], model).modelled[0]?.bytesSentByRank, [0]);
});

test('softmax attention costs every strategy the same, and is told apart', () => {
  const model = { ...trace, recurrences: [] };
  const free: StrategyCost = { name: 'free', start, cost: () => ({ seconds: 0, bytesSentByRank: [] }) };
  const rows = [
    { strategy: 'near', seconds: 3e-3, bytesSentByRank: [10, 20, 30] },
    { strategy: 'far', seconds: 4e-3, bytesSentByRank: [1, 1, 1] },
  ];
  const attention = { strategy: 'near', cost: rows[0]!, modelled: rows };
  const found = planOf({ sp: 3 }, [free], model, attention);
  assert.is(found.attentionStrategy, 'near');
  assert.equal(found.modelledAttention, rows);
  assert.equal(found.modelled, [{ ...rows[0], strategy: 'free' }]);
  assert.is(
    found.notes.at(-1),
    'attention strategy near was chosen: modelled for test link at 3.00 ms a step against 4.00 ms of far',
  );
});

test('memory and arithmetic of one rank', () => {
  const { perRank } = planOf({ sp: 2, sequenceLength: 1000, batchSize: 3 });
  assert.equal(perRank, {
    numParameters: 1000,
    parameterBytes: 4000,
    gradientBytes: 4000,
    optimizerBytes: 8000,
    activationBytes: 0,
    communicationBytes: 0,
    peakBytes: 16_000,
    reservedBytes: 16_000,
    stateBytes: 12_288,
    flopsPerStep: 6000 * 3 * 512,
  });
});

test('moments are divided over all ranks where the optimizer is sharded', () => {
  const sizes = { sp: 2, dp: 3, batchSize: 3 };
  assert.is(planOf({ ...sizes, zero: 1 }).perRank.optimizerBytes, Math.ceil(8000 / 6));
  assert.is(planOf(sizes).perRank.optimizerBytes, 8000);
  const { peakBytes, optimizerBytes } = planOf({ ...sizes, moments: 'bf16' }).perRank;
  assert.equal([peakBytes, optimizerBytes], [12_000, 4000]);
});

test('one rank has no scans; on more, every layer has a choice', () => {
  assert.equal(planOf({ sp: 1 }).scans, []);
  assert.equal(planOf({ sp: 2 }).scans, [
    { strategy: 'chain', blocks: 1, ranksPerNode: 2 },
    { strategy: 'chain', blocks: 1, ranksPerNode: 2 },
  ]);
});

test('a plan passes its own schema and is the same every time', () => {
  const once = planOf({ sp: 2, sequenceLength: 1000 });
  assert.equal(planSchema.parse(structuredClone(once)), once);
  assert.equal(planOf({ sp: 2, sequenceLength: 1000 }), once);
});

test('notes ~> how often time slices run, and what is kept in between', () => {
  const sizes = { sequenceLength: 1000, batchSize: 2, timeSlice: 256 };
  const border = '12.0 KiB of states and halos';
  const twice = `4 time slices of 256 tokens: all but the last run forward twice; of each border ${border} are kept`;
  assert.is(planOf(sizes).notes[1], twice);
  const kept = 'outputs of MLPs are kept for the second time, of the first 2 blocks: 1.5 KiB a block';
  assert.equal(planOf({ ...sizes, keptMlps: 2 }).notes.slice(1, 3), [twice, kept]);
});

test.run();
