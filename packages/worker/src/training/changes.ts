import type { JobSpec } from '../protocol/job-spec.js';

/** A job with one setting changed, so that its ranks hold less. */
export interface Change {
  /** As a user writes it. */
  readonly text: string;
  readonly jobSpec: JobSpec;
}

/** A sequence is cut into at most so many times as many slices, or shortened to so small a part. */
const mostCuts = 1024;

/**
 * What makes ranks hold less, kind by kind, and of each kind from the mildest change to the strongest: first what trains the
 * same model in the same way, then what needs more ranks, then what trains another way.
 */
export function changesOf(job: JobSpec): readonly (readonly Change[])[] {
  return [
    microBatches(job),
    recomputing(job),
    fewerKept(job),
    timeSlices(job),
    shardedOptimizer(job),
    moreRanks(job),
    roundedMoments(job),
    lowerPrecision(job),
    smallerBatches(job),
    shorterSequences(job),
  ];
}

function microBatches(job: JobSpec): Change[] {
  const { batchSize, accumulate } = job.data;
  const perReplica = batchSize / job.parallel.dp;
  const counts = Array.from({ length: perReplica - accumulate }, (_, i) => accumulate + 1 + i);
  return counts
    .filter((count) => perReplica % count === 0 && (!job.job.deterministic || isPowerOfTwo(count)))
    .map((count) => ({
      text: `data.accumulate = ${count}`,
      jobSpec: { ...job, data: { ...job.data, accumulate: count } },
    }));
}

function recomputing(job: JobSpec): Change[] {
  const { recompute, timeSlice } = job.model;
  const values = [
    ...(recompute === false && !job.job.deterministic ? (['cheap'] as const) : []),
    ...(recompute !== true && timeSlice === 0 ? [true] : []),
  ];
  const blocks = recomputedBlocks(job);
  const all = blocks.at(-1);
  const stronger = values.map((value) => {
    const { text, jobSpec } = withModel(all?.jobSpec ?? job, 'recompute', value);
    return { text: all === undefined ? text : `${text} with ${all.text}`, jobSpec };
  });
  return [...blocks, ...stronger];
}

/** More of them, up to all, where only some are. */
function recomputedBlocks(job: JobSpec): Change[] {
  const { recomputedBlocks, numLayers } = job.model;
  if (recomputedBlocks === 'all' || recomputedBlocks === numLayers) return [];
  const more = [...doublings(recomputedBlocks, numLayers - 1), 'all' as const];
  return more.map((value) => withModel(job, 'recomputedBlocks', value));
}

function fewerKept(job: JobSpec): Change[] {
  const { keptMlps } = job.model;
  if (keptMlps === 0) return [];
  const fewer = [1, ...doublings(1, keptMlps - 1)].filter((count) => count < keptMlps);
  return [...fewer, keptMlps].map((count) => withModel(job, 'keptMlps', keptMlps - count));
}

function timeSlices(job: JobSpec): Change[] {
  const { model, data, parallel } = job;
  const isOneAfterTheOther =
    model.objective === 'causal' && model.recompute !== true && parallel.sp === 1 && !data.carry;
  if (!isOneAfterTheOther || job.job.deterministic) return [];
  const length = model.timeSlice === 0 ? data.sequenceLength : model.timeSlice;
  return halvings(length, model.chunk).map((value) => withModel(job, 'timeSlice', value));
}

function shardedOptimizer(job: JobSpec): Change[] {
  const { sp, dp, zero } = job.parallel;
  if (zero > 0 || sp * dp === 1 || job.job.deterministic) return [];
  return [{ text: 'parallel.zero = 1', jobSpec: { ...job, parallel: { ...job.parallel, zero: 1 } } }];
}

function moreRanks(job: JobSpec): Change[] {
  const { sp, dp } = job.parallel;
  if (job.model.timeSlice > 0) return [];
  const what = job.device.kind === 'cuda' ? 'GPUs' : 'ranks';
  return doublings(sp, sp * mostCuts).map((ranks) => ({
    text: `parallel.sp = ${ranks} on ${ranks * dp} ${what} in place of ${sp * dp}`,
    jobSpec: { ...job, parallel: { ...job.parallel, sp: ranks } },
  }));
}

function roundedMoments(job: JobSpec): Change[] {
  if (job.optimizer.moments === 'bf16') return [];
  const optimizer = { ...job.optimizer, moments: 'bf16' as const };
  return [{ text: 'optimizer.moments = "bf16"', jobSpec: { ...job, optimizer } }];
}

function lowerPrecision(job: JobSpec): Change[] {
  const { kind } = job.device;
  return kind === 'cuda' && job.model.precision === 'f32' ? [withModel(job, 'precision', 'bf16')] : [];
}

function smallerBatches(job: JobSpec): Change[] {
  const { batchSize, accumulate } = job.data;
  const shares = job.parallel.dp * accumulate;
  const sizes = halvings(batchSize / shares, 1).map((share) => share * shares);
  return sizes.map((size) => ({
    text: `data.batchSize = ${size}`,
    jobSpec: { ...job, data: { ...job.data, batchSize: size } },
  }));
}

function shorterSequences(job: JobSpec): Change[] {
  return halvings(job.data.sequenceLength, job.model.chunk).map((length) => ({
    text: `data.sequenceLength = ${length}`,
    jobSpec: { ...job, data: { ...job.data, sequenceLength: length } },
  }));
}

function withModel<K extends keyof JobSpec['model']>(
  job: JobSpec,
  key: K,
  value: JobSpec['model'][K],
): Change {
  return {
    text: `model.${key} = ${JSON.stringify(value)}`,
    jobSpec: { ...job, model: { ...job.model, [key]: value } },
  };
}

/** Halves of a number, quarters, …, rounded up to multiples of `unit`. */
function halvings(value: number, unit: number): number[] {
  const values = doublings(1, mostCuts).map((cuts) => Math.ceil(value / cuts / unit) * unit);
  return [...new Set(values)].filter((smaller) => smaller < value);
}

/** Twice a number, four times, …, up to `most`. */
function doublings(value: number, most: number): number[] {
  const values: number[] = [];
  for (let next = 2 * value; next <= most; next *= 2) values.push(next);
  return values;
}

function isPowerOfTwo(value: number): boolean {
  return Number.isInteger(Math.log2(value));
}
