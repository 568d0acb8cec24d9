import { type Communicator, createInProcessGroup, type Device, openCpuDevice } from '@longscan/kernels';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type JobSpec, jobSpecSchema } from '../protocol/job-spec.js';
import type { Plan } from '../protocol/plan.js';
import { plainPlan } from '../testing/plain-plan.js';
import { assembleTraining, loadUnits } from '../training/assemble-training.js';
import { trainStep } from '../training/train-step.js';
import type { Training } from '../training/training.js';
import { blankBatches } from './blank-batches.js';
import { numberedEntries } from './numbered-entries.js';
import { recordInFull, recordSchedules, recordShared } from './record-schedules.js';
import { Recorder } from './recorder.js';
import type { Schedule, ScheduleEntry } from './schedule.js';
import { singleCalls } from './single-calls.js';

/** Steps of which the last one is looked at: as many as make a step with memory of two earlier ones. */
const numSteps = 3;

/** What ranks in this process enqueue in their third step of real training, seen at their devices' native functions. */
async function realSchedules(plan: Plan): Promise<Schedule[]> {
  const { sp, numRanks } = plan.mesh;
  const units = await loadUnits(plan);
  const recorders = Array.from(
    { length: numRanks },
    (_, rank): Recorder => new Recorder(() => devices[rank]!.flops),
  );
  const fixedPartition = plan.jobSpec.job.deterministic;
  const devices: Device[] = [];
  for (const { observe } of recorders) devices.push(openCpuDevice({ poison: true, fixedPartition, observe }));
  try {
    const world = groupOf(devices, 'world');
    const rows = Array.from({ length: numRanks / sp }, (_, i) => devices.slice(i * sp, (i + 1) * sp));
    const sequences = rows.flatMap((row, i) => groupOf(row, `sp-${i}`));
    const ranks = devices.map((device, rank): Training => {
      const mesh = { world: world[rank]!, sp: sequences[rank]!, close() {} };
      const training = assembleTraining(device, mesh, plan, units, rank);
      training.parameters.initialise(7);
      return training;
    });
    let before: (readonly ScheduleEntry[])[] = [];
    for (let step = 1; step <= numSteps; step++) {
      before = recorders.map((recorder) => recorder.take());
      await Promise.all(ranks.map((training, rank) => enqueue(training, plan, rank, step)));
    }
    return recorders.map((recorder, rank) => ({
      streams: recorder.streams,
      entries: numberedEntries([{ entries: recorder.take(), scope: 0 }], before[rank]!),
    }));
  } finally {
    for (const device of devices) device.close();
  }
}

function groupOf(members: readonly Device[], axis: string): (Communicator | null)[] {
  return members.length > 1 ? createInProcessGroup(members, { axis }) : members.map(() => null);
}

function enqueue(training: Training, plan: Plan, rank: number, step: number): Promise<unknown> {
  training.carry?.startStep((step - 1) * plan.jobSpec.data.sequenceLength);
  const batches = blankBatches(plan, rank, true);
  return trainStep(training, batches, step, 1e-3, { stop: false, save: false });
}

/** One line each; two records with nothing between them are one point of a stream, so a wait names what went before. */
function linesOf({ streams, entries }: Schedule): string[] {
  const numDone = streams.map(() => 0);
  const points = new Map<number, string>();
  return entries.flatMap((entry) => {
    const { kind, stream } = entry;
    const name = streams[stream]!;
    if (kind === 'record') {
      points.set(entry.event, `${name} ${numDone[stream]}`);
      return [];
    }
    numDone[stream]!++;
    if (kind === 'wait') return [`${name}: after ${points.get(entry.event)}`];
    const { kind: _, stream: __, ...rest } = entry;
    return [`${name}: ${JSON.stringify(rest)}`];
  });
}

type Sections = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

function jobOf(layers: readonly string[], sections: Sections = {}): JobSpec {
  const { model, data, ...rest } = sections;
  return jobSpecSchema.parse({
    model: {
      ...{ dModel: 32, numLayers: layers.length, numHeads: 2, vocabSize: 40, mlp: 32, chunk: 16 },
      layers: layers.map((use) => ({ use, options: {}, file: null })),
      ...model,
    },
    data: { path: 'unused', sequenceLength: 96, batchSize: 2, ...data },
    ...rest,
  });
}

async function expectReal(plan: Plan): Promise<void> {
  const [recorded, real] = [await recordSchedules(plan), await realSchedules(plan)];
  assert.is(recorded.length, plan.mesh.numRanks);
  for (const [rank, schedule] of real.entries()) {
    assert.equal(recorded[rank]!.streams, schedule.streams);
    assert.equal(linesOf(recorded[rank]!), linesOf(schedule), `rank ${rank}`);
  }
}

const inBuckets = { gradientBucket: '1KiB' };
const sp = (ranks: number, more: object = {}) => ({ parallel: { sp: ranks, ...more } });

const cases: readonly [title: string, plan: () => Plan][] = [
  ['one rank', () => plainPlan(jobOf(['gla', 'mamba2']))],
  ...['all-scan', 'ring', 'all-gather', 'doubling-scan', 'two-level'].map(
    (strategy): [string, () => Plan] => [
      `${strategy}, four layers`,
      () => plainPlan(jobOf(['gla', 'gated-deltanet', 'mamba', 'lightning'], sp(4)), { strategy }),
    ],
  ),
  [
    'slices handed on one after the other',
    () => plainPlan(jobOf(['slstm', 'gla'], sp(3)), { strategy: 'ring' }),
  ],
  ['replicas, sharded optimizer', () => plainPlan(jobOf(['rwkv7', 'h3'], sp(2, { dp: 2, zero: 1 })))],
  ...[sp(3), sp(1, { dp: 2 }), sp(2, { dp: 2, zero: 1 })].map(({ parallel }): [string, () => Plan] => [
    `gradients summed in buckets, ${JSON.stringify(parallel)}`,
    () => plainPlan(jobOf(['rwkv7', 'softmax-attention', 'h3'], { parallel: { ...parallel, ...inBuckets } })),
  ]),
  ['recomputed blocks', () => plainPlan(jobOf(['gla', 'mamba2'], { ...sp(2), model: { recompute: true } }))],
  [
    'cheap outputs made again',
    () => plainPlan(jobOf(['gla', 'hgrn'], { ...sp(2), model: { recompute: 'cheap' } })),
  ],
  [
    'time slices, replicas',
    () => plainPlan(jobOf(['mamba2', 'rwkv7'], { ...sp(1, { dp: 2 }), model: { timeSlice: 40 } })),
  ],
  [
    'time slices, outputs of MLPs kept',
    () => plainPlan(jobOf(['mamba2', 'rwkv7'], { ...sp(1), model: { timeSlice: 40, keptMlps: 1 } })),
  ],
  ['micro-batches', () => plainPlan(jobOf(['gla', 'gla'], { ...sp(2), data: { accumulate: 2 } }))],
  ['memory that is carried', () => plainPlan(jobOf(['gla', 'rwkv6'], { ...sp(3), data: { carry: true } }))],
  [
    'deterministic mode',
    () =>
      plainPlan(
        jobOf(['gla', 'lightning'], {
          ...sp(2, { dp: 2 }),
          job: { deterministic: true, canonicalSegments: 4 },
          data: { sequenceLength: 128 },
        }),
      ),
  ],
  [
    'masked objective',
    () => plainPlan(jobOf(['gla', 'softmax-attention'], { ...sp(3), model: { objective: 'masked' } })),
  ],
  [
    'masked objective, packed documents',
    () =>
      plainPlan(
        jobOf(['gla', 'softmax-attention'], {
          ...sp(3),
          model: { objective: 'masked' },
          data: { packing: true, format: 'jsonl' },
        }),
      ),
  ],
  [
    'packed documents',
    () => plainPlan(jobOf(['gla', 'mamba2'], { ...sp(3), data: { packing: true, format: 'jsonl' } })),
  ],
  ...['kv-all-gather', 'ring-attention', 'head-all-to-all'].map((attention): [string, () => Plan] => [
    `hybrid, ${attention}`,
    () => plainPlan(jobOf(['gla', 'softmax-attention'], sp(2)), { attention }),
  ]),
];

for (const [title, plan] of cases) {
  test(`schedules ~> native calls of real training: ${title}`, () => expectReal(plan()));
}

/** Jobs whose ranks share parts of their schedules. */
const manyRanks: readonly [title: string, job: (ranks: Readonly<Record<string, unknown>>) => JobSpec][] = [
  ['looks back over short convolutions', (ranks) => jobOf(['mamba2', 'gated-deltanet'], longer(ranks))],
  ['carried memory', (ranks) => jobOf(['gla'], longer(ranks, { data: { carry: true } }))],
  ['sharded optimizer', (ranks) => jobOf(['gla', 'hgrn2'], longer({ ...ranks, zero: 1 }))],
  [
    'gradients in buckets, sharded optimizer',
    (ranks) => jobOf(['gla', 'gated-deltanet'], longer({ ...ranks, ...inBuckets, zero: 1 })),
  ],
  ['updates beside the next step', (ranks) => jobOf(['gla'], longer(ranks, { device: { kind: 'cuda' } }))],
  ['softmax attention', (ranks) => jobOf(['gla', 'softmax-attention'], longer(ranks))],
  ['masked objective', (ranks) => jobOf(['gla'], longer(ranks, { model: { objective: 'masked' } }))],
];

function longer(parallel: Readonly<Record<string, unknown>>, { data, ...sections }: Sections = {}): Sections {
  return { parallel, ...sections, data: { sequenceLength: 16 * 120, batchSize: 2, ...data } };
}

for (const [title, job] of manyRanks) {
  test(`schedules ~> shared by many ranks as each by itself: ${title}`, async () => {
    for (const [strategy, parallel] of [
      ['all-scan', { sp: 5, dp: 2 }],
      ['ring', { sp: 8 }],
      ['all-gather', { sp: 12 }],
      ['doubling-scan', { sp: 5 }],
      ['doubling-scan', { sp: 12 }],
      ['two-level', { sp: 8 }],
      ['two-level', { sp: 12, dp: 2 }],
    ] as const) {
      const plan = plainPlan(job(parallel), { strategy });
      const units = await loadUnits(plan);
      const [alone, shared] = [await recordInFull(plan, units), await recordShared(plan, units)];
      assert.is(shared.length, plan.mesh.numRanks);
      for (const [rank, { streams, entries }] of shared.entries()) {
        assert.equal(streams, alone[rank]!.streams);
        assert.equal(singleCalls(entries), alone[rank]!.entries, `${strategy}, rank ${rank}`);
      }
    }
  });
}

test('schedules ~> chains through mapped memory: one of a state and direction on every rank, shared or not', async () => {
  const carrier = { chains: { carrier: 'mapped-memory', reason: 'one host' } } as const;
  for (const [strategy, parallel] of [
    ['all-scan', { sp: 5, dp: 2 }],
    ['ring', { sp: 12 }],
  ] as const) {
    const plan: Plan = {
      ...plainPlan(jobOf(['gla', 'gated-deltanet'], longer(parallel)), { strategy }),
      ...carrier,
    };
    const units = await loadUnits(plan);
    const [alone, shared] = [await recordInFull(plan, units), await recordShared(plan, units)];
    for (const [rank, { entries, streams }] of shared.entries()) {
      assert.equal(entries, alone[rank]!.entries, `${strategy}, rank ${rank}`);
      const chains = entries.flatMap((entry) => (entry.kind === 'chain' ? [entry] : []));
      assert.equal(
        chains.map(({ step, isDense, group, stream }) => [step, isDense, group, streams[stream]]),
        [
          [1, false, 'sp', 'sp'],
          [1, true, 'sp', 'sp'],
          [-1, true, 'sp', 'sp'],
          [-1, false, 'sp', 'sp'],
        ],
      );
    }
  }
  const gathered: Plan = { ...plainPlan(jobOf(['gla'], sp(3)), { strategy: 'all-gather' }), ...carrier };
  for (const { entries } of await recordSchedules(gathered))
    assert.not(
      entries.some(({ kind }) => kind === 'chain'),
      'other strategies send messages',
    );
});

test('schedules ~> a job for a GPU updates parameters beside the next step', async () => {
  const job = jobOf(['gla', 'gla'], { device: { kind: 'cuda' } });
  const [{ streams, entries }] = (await recordSchedules(plainPlan(job))) as [Schedule];
  assert.equal(streams, ['compute', 'optimizer']);
  const placeOf = (event: number) =>
    entries.findIndex((entry) => entry.kind === 'record' && entry.event === event);
  const waits = entries.flatMap((entry, i) =>
    entry.kind === 'wait' && streams[entry.stream] === 'compute'
      ? [{ at: i, recorded: placeOf(entry.event) }]
      : [],
  );
  assert.ok(waits.length > 0);
  for (const { at, recorded } of waits) {
    assert.ok(recorded > at, 'it waits for the update of the step before');
    assert.is(streams[entries[recorded]!.stream], 'optimizer');
  }
});

test.run();
