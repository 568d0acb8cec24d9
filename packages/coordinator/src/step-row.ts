import { type Done, type Plan, type StepPart, stepParts } from '@longscan/worker/protocol';
import { z } from 'zod';
import { formatBytes, formatCount, formatMachine, formatPercent, formatTable } from './format.js';
import { quantileOf } from './quantile.js';

const opTimeSchema = z.object({ count: z.number(), ms: z.number(), bytes: z.number() });

/** What the `bench-step` task gives on each rank. */
const rankResultSchema = z.object({
  laps: z.array(z.number()).min(1),
  spExposedMs: z.array(z.number()),
  gradientExposedMs: z.array(z.number()),
  spBytesSent: z.number(),
  ...{ loss: z.number(), numParameters: z.number(), flopsPerToken: z.number() },
  ...{ peakBytes: z.number(), reservedBytes: z.number(), processBytes: z.number() },
  coreMs: z.number(),
  peakFlops: z.number().nullable(),
  profile: z.object({
    wholeMs: z.number(),
    ops: z.record(z.string(), opTimeSchema),
    shares: z.record(z.enum(stepParts), z.number()),
    beside: z.record(z.string(), opTimeSchema),
  }),
  machine: z.record(z.string(), z.unknown()),
});

export interface OpRow {
  readonly name: string;
  readonly count: number;
  readonly ms: number;
  /** Of the tensors that its calls were given: what they read and write at least. */
  readonly bytes: number;
}

/** Training steps of one job. Times are those of rank 0, memory that of the rank with the most. */
export interface StepRow {
  readonly job: string | null;
  /** Of the job: sequences of a step, their tokens. */
  readonly B: number;
  readonly T: number;
  readonly mesh: Plan['mesh'];
  readonly precision: 'f32' | 'bf16';
  /** Of AdamW. */
  readonly moments: 'f32' | 'bf16';
  readonly recompute: boolean | 'cheap';
  readonly recomputedBlocks: number | 'all';
  readonly timeSlice: number;
  readonly keptMlps: number;
  readonly numParameters: number;
  readonly numLayers: number;
  readonly strategy: string;
  readonly numWarmUps: number;
  readonly numSteps: number;
  /** Of each timed step, in order: milliseconds from its start to the next one's. */
  readonly laps: readonly number[];
  readonly medianMs: number;
  /** Core time that the process of rank 0 took in a step, all its threads together: mean of the timed steps. */
  readonly coreMs: number;
  /** 5th and 95th percentile. */
  readonly lowMs: number;
  readonly highMs: number;
  /**
   * Of each timed step, in order: milliseconds that compute waited for sequence-parallel communication, the largest over the
   * ranks.
   */
  readonly spExposedMs: readonly number[];
  /** The same for sums over all ranks: gradients, and what is gathered after an update. */
  readonly gradientExposedMs: readonly number[];
  /** Of a step, all ranks together, both directions, counted where the bytes are sent. */
  readonly spBytesSent: number;
  /** Of all ranks together. */
  readonly tokensPerSecond: number;
  /** Of each rank's device: dense products in this precision, by its data sheet; null: not known. */
  readonly peakFlops: number | null;
  /** 6 · numParameters · tokens. */
  readonly flopsByParameters: number;
  /** The model's own, nothing computed twice. */
  readonly flopsByModel: number;
  readonly mfuByParameters: number | null;
  readonly mfuByModel: number | null;
  readonly peakBytes: number;
  readonly peakBytesByRank: readonly number[];
  readonly reservedBytes: number;
  /** Resident in the host's memory at most: what tensors take of it, the libraries and Node itself. */
  readonly processBytes: number;
  readonly loss: number;
  /** Of one more step with every op timed; shares of its time. */
  readonly profiledMs: number;
  readonly shares: Readonly<Record<StepPart, number>>;
  /** The same by native function, longest first. */
  readonly ops: readonly OpRow[];
  /** What ran on streams of its own beside that, and slowed it down at most; not in the shares. */
  readonly beside: readonly OpRow[];
  readonly machine: Readonly<Record<string, unknown>>;
}

/** `job`: the file; null: defaults alone. */
export function stepRow(
  job: string | null,
  { jobSpec, mesh, strategy }: Plan,
  numWarmUps: number,
  results: readonly Done['result'][],
): StepRow {
  const ranks = results.map((result) => rankResultSchema.parse(result));
  const first = ranks[0]!;
  const { model, data, optimizer } = jobSpec;
  const { laps } = first;
  const at = (quantile: number): number => quantileOf(laps, quantile);
  const tokens = data.batchSize * data.sequenceLength;
  const flopsByParameters = 6 * first.numParameters * tokens;
  const flopsByModel = first.flopsPerToken * tokens;
  const perSecond = 1000 / at(0.5);
  const mfu = (flops: number): number | null =>
    first.peakFlops && (flops * perSecond) / (first.peakFlops * mesh.numRanks);
  return {
    ...{ job, B: data.batchSize, T: data.sequenceLength, mesh, strategy },
    ...{ precision: model.precision, moments: optimizer.moments },
    ...{ recompute: model.recompute, recomputedBlocks: model.recomputedBlocks },
    ...{ timeSlice: model.timeSlice, keptMlps: model.keptMlps },
    ...{ numParameters: first.numParameters, numLayers: model.numLayers },
    ...{ numWarmUps, numSteps: laps.length, laps, medianMs: at(0.5), lowMs: at(0.05), highMs: at(0.95) },
    coreMs: first.coreMs,
    spExposedMs: laps.map((_, i) => Math.max(...ranks.map(({ spExposedMs }) => spExposedMs[i]!))),
    gradientExposedMs: laps.map((_, i) =>
      Math.max(...ranks.map(({ gradientExposedMs }) => gradientExposedMs[i]!)),
    ),
    spBytesSent: ranks.reduce((sum, { spBytesSent }) => sum + spBytesSent, 0),
    tokensPerSecond: tokens * perSecond,
    ...{ peakFlops: first.peakFlops, flopsByParameters, flopsByModel },
    ...{ mfuByParameters: mfu(flopsByParameters), mfuByModel: mfu(flopsByModel) },
    peakBytes: Math.max(...ranks.map(({ peakBytes }) => peakBytes)),
    peakBytesByRank: ranks.map(({ peakBytes }) => peakBytes),
    reservedBytes: Math.max(...ranks.map(({ reservedBytes }) => reservedBytes)),
    processBytes: Math.max(...ranks.map(({ processBytes }) => processBytes)),
    loss: first.loss,
    profiledMs: first.profile.wholeMs,
    shares: first.profile.shares,
    ops: byTime(first.profile.ops),
    beside: byTime(first.profile.beside),
    machine: first.machine,
  };
}

function byTime(ops: Readonly<Record<string, Omit<OpRow, 'name'>>>): OpRow[] {
  const rows = Object.entries(ops).map(([name, op]) => ({ name, ...op }));
  return rows.sort((a, b) => b.ms - a.ms);
}

const partNames: Readonly<Record<StepPart, string>> = {
  gemm: 'products (GEMM)',
  recurrence: 'recurrence and attention',
  pointwise: 'norm and pointwise',
  loss: 'head and loss',
  optimizer: 'optimizer',
  communication: 'waiting for ranks, updates',
  other: 'other',
  idle: 'idle',
};

/** What is said of `model.recompute`. */
const recomputing: Readonly<Record<string, string>> = {
  false: '',
  cheap: ', recomputing norms and activations',
  true: ', recomputing blocks',
};

/** Native functions that are listed by name. */
const numOps = 20;

export function formatStepRow(row: StepRow): string {
  const { mesh, machine } = row;
  const name = formatMachine(machine);
  const ranks = mesh.numRanks === 1 ? 'one rank' : `${mesh.sp} x ${mesh.dp} ranks (sp x dp, ${row.strategy})`;
  const moments = row.moments === 'f32' ? '' : `, moments in ${row.moments}`;
  const outputs = row.keptMlps > 0 ? ` (MLPs kept: ${row.keptMlps})` : '';
  const memory =
    recomputing[String(row.recompute)] +
    (row.recomputedBlocks === 'all' ? '' : ` (blocks: ${row.recomputedBlocks})`) +
    (row.timeSlice > 0 ? `, in time slices of ${row.timeSlice}${outputs}` : '');
  const lines = [
    `${row.job ?? 'defaults'}: ${row.numLayers} layers, ${formatCount(row.numParameters)} parameters, ${row.precision}${moments}${memory}; ${row.B} x ${row.T} tokens a step`,
    `${name}; ${ranks}`,
    '',
    formatTable([
      [
        'step',
        `${ms(row.medianMs)} ms (5 – 95 %: ${ms(row.lowMs)} – ${ms(row.highMs)}), ${row.numSteps} steps after ${row.numWarmUps}`,
      ],
      ['tokens/s', Math.round(row.tokensPerSecond).toLocaleString('en-US')],
      ['MFU, 6 N T', mfu(row.mfuByParameters, row.flopsByParameters, row.peakFlops)],
      ["MFU, model's own", mfu(row.mfuByModel, row.flopsByModel, row.peakFlops)],
      ['memory', `${formatBytes(row.peakBytes)} at most in use, ${formatBytes(row.reservedBytes)} taken`],
      ['process', `${formatBytes(row.processBytes)} at most in the host's memory`],
      ...(mesh.sp === 1
        ? []
        : [
            [
              'exposed communication',
              `${formatExposed(row, row.spExposedMs)}; ${formatBytes(row.spBytesSent)} sent`,
            ],
          ]),
      ...(mesh.numRanks === 1 ? [] : [['waiting for gradients', formatExposed(row, row.gradientExposedMs)]]),
      ['loss', row.loss.toPrecision(6)],
    ]),
    '',
    `one more step with every op timed, ${ms(row.profiledMs)} ms:`,
    formatTable(
      stepParts
        .filter((part) => row.shares[part] > 0)
        .map((part) => [partNames[part], formatPercent(row.shares[part])]),
      '<>',
    ),
    '',
    formatOps(row.ops.slice(0, numOps), row.profiledMs),
    ...(row.beside.length === 0
      ? []
      : ['', 'beside that, on other streams:', formatOps(row.beside, row.profiledMs)]),
  ];
  return lines.join('\n');
}

function formatExposed({ medianMs }: StepRow, exposedMs: readonly number[]): string {
  const median = quantileOf(exposedMs, 0.5);
  return `${ms(median)} ms a step (${formatPercent(median / medianMs)})`;
}

/** Each with its share of `wholeMs`, what its tensors hold, and the rate at which that passed. */
function formatOps(ops: readonly OpRow[], wholeMs: number): string {
  return formatTable(
    [
      ['', 'calls', 'ms', 'share', 'tensors', 'at least'],
      ...ops.map(({ name, count, ms: time, bytes }) => [
        ...[name, `${count} x`, ms(time), formatPercent(time / wholeMs), `${formatCount(bytes)}B`],
        time > 0 ? `${formatCount(Math.round((1000 * bytes) / time))}B/s` : '',
      ]),
    ],
    '<>>>>>',
  );
}

function mfu(value: number | null, flops: number, peak: number | null): string {
  const work = `${formatCount(flops)}FLOP a step`;
  if (value === null || peak === null) return `not known for this device; ${work}`;
  return `${formatPercent(value)}: ${work}, at most ${formatCount(peak)}FLOP/s`;
}

function ms(value: number): string {
  return value.toPrecision(4);
}
