import { availableParallelism } from 'node:os';
import { type JobSpec, LongscanError, type Plan } from '@longscan/worker/protocol';
import { assumedFabric } from '../fabric/load-fabric.js';
import type { LayerCode } from '../layer-code/layer-code.js';
import { formatResolvedJob, type JobInput, loadJob } from '../spec/index.js';
import { ProblemList } from '../spec/problems.js';
import { isOfEveryPoint } from './is-of-every-point.js';
import { visibleGpus } from './machine.js';
import { type CurvePoint, curvePoints, type Mode } from './modes.js';
import type { SimulatedPoint } from './scaling-file.js';

export interface CurveOptions {
  readonly mode: Mode;
  /** Rising. */
  readonly sps: readonly number[];
  /** Rising; null: the job's own. */
  readonly lengths: readonly number[] | null;
  /** As from `--set`; none of `parallel.sp`. */
  readonly overrides: readonly string[];
  /** Null: points are measured only. */
  readonly simulate: SimulatePoint | null;
}

export interface PlannedPoint extends CurvePoint {
  /** Where links are to be probed, by what stands for them until then. */
  readonly plan: Plan;
}

/** Simulates a step of a plan. */
export type SimulatePoint = (plan: Plan, code: LayerCode) => Promise<SimulatedPoint>;

/** Everything that can be known of a curve before anything is started. */
export interface PlannedCurve {
  /** The job at sp = 1 and the first length. */
  readonly jobSpec: JobSpec;
  readonly points: readonly PlannedPoint[];
  /** Worth telling the user, one sentence each. */
  readonly notes: readonly string[];
}

/** What the points of a curve are planned from. */
export interface CurveJob {
  /** At sp = 1 and the first length. */
  readonly jobSpec: JobSpec;
  /** Every value of it, and where it came from. */
  readonly text: string;
  /** Of the job, what all points are loaded with. */
  readonly overrides: readonly string[];
  readonly notes: readonly string[];
}

/**
 * Loads the job that all points share, with as many threads per rank at every point: else a rank alone would compute with
 * all cores and be compared with ranks that have one each.
 *
 * @throws LongscanError or JobErrors for the job itself, E-SCALE-GPUS for more ranks than GPUs
 */
export async function loadCurveJob(
  job: string | JobInput,
  { sps, lengths, overrides }: CurveOptions,
  numCores: number = availableParallelism(),
): Promise<CurveJob> {
  const base = [
    ...overrides,
    'parallel.sp=1',
    ...(lengths === null ? [] : [`data.sequenceLength=${lengths[0]}`]),
  ];
  const { jobSpec, originOf } = await loadJob(job, { overrides: base, readsText: false });
  const mostRanks = sps.at(-1)! * jobSpec.parallel.dp;
  if (jobSpec.device.kind === 'cuda') {
    refuseTooFewGpus(jobSpec, mostRanks);
    return { jobSpec, text: formatResolvedJob(jobSpec, originOf), overrides, notes: [] };
  }
  const threads =
    jobSpec.device.threads === 'auto'
      ? Math.max(1, Math.floor(numCores / mostRanks))
      : jobSpec.device.threads;
  const fixed = { ...jobSpec, device: { ...jobSpec.device, threads } };
  const isDerived = (key: string) => key === 'device.threads' && jobSpec.device.threads === 'auto';
  return {
    jobSpec: fixed,
    text: formatResolvedJob(fixed, (key) =>
      isDerived(key) ? { kind: 'derived', from: '--sp' } : originOf(key),
    ),
    overrides: [...overrides, `device.threads=${threads}`],
    notes: coreNotes(sps, jobSpec.parallel.dp, threads, numCores),
  };
}

/**
 * Plans every point.
 *
 * @throws E-RUN-KILLED when it was interrupted, E-ENDED where code of the layers' files ended what computes with it; LongscanError or JobErrors with what is wrong at any point, each named by it
 */
export async function planCurve(
  job: string | JobInput,
  { jobSpec, overrides, notes }: CurveJob,
  { mode, sps, lengths }: Pick<CurveOptions, 'mode' | 'sps' | 'lengths'>,
  code: LayerCode,
): Promise<PlannedCurve> {
  const { sequenceLength, batchSize } = jobSpec.data;
  const problems = new ProblemList();
  const points: PlannedPoint[] = [];
  for (const point of curvePoints(mode, sps, lengths ?? [sequenceLength], batchSize)) {
    try {
      const { jobSpec: own } = await loadJob(job, {
        overrides: [...overrides, ...overridesOf(point)],
        readsText: false,
      });
      points.push({ ...point, plan: await code.compute('planJob', own, assumedFabric(own)) });
    } catch (error) {
      if (!(error instanceof LongscanError) || isOfEveryPoint(error)) throw error;
      problems.addError(atPoint(point, error));
    }
  }
  problems.throwIfAny();
  return { jobSpec, points, notes: [...notes, ...points.flatMap(paddingNotes)] };
}

/** What makes a job that of a point. */
function overridesOf({ sp, sequenceLength, batchSize }: CurvePoint): string[] {
  return [`parallel.sp=${sp}`, `data.sequenceLength=${sequenceLength}`, `data.batchSize=${batchSize}`];
}

function atPoint({ sp, sequenceLength }: CurvePoint, error: LongscanError): LongscanError {
  const where = `sp = ${sp}, ${sequenceLength} tokens: ${error.parts.where}`;
  return new LongscanError({ ...error.parts, where, cause: error });
}

function coreNotes(sps: readonly number[], dp: number, threads: number, numCores: number): string[] {
  const word = (count: number, unit: string) => `${count} ${unit}${count === 1 ? '' : 's'}`;
  const sharing = sps.filter((sp) => sp * dp * threads > numCores);
  return [
    `each rank computes with ${word(threads, 'thread')} at every sp`,
    ...(sharing.length === 0
      ? []
      : [
          `at sp = ${sharing.join(', ')} the ranks share ${word(numCores, 'core')}: no more can be gained there`,
        ]),
  ];
}

function paddingNotes({ sp, sequenceLength, plan }: PlannedPoint): string[] {
  if (plan.padTokens === 0) return [];
  return [
    `sp = ${sp} does not divide ${sequenceLength} tokens into whole chunks: padded by ${plan.padTokens}, which count as no work done`,
  ];
}

function refuseTooFewGpus({ device }: JobSpec, mostRanks: number): void {
  const numGpus = visibleGpus();
  if (device.share || numGpus === null || mostRanks <= numGpus) return;
  throw new LongscanError({
    code: 'E-SCALE-GPUS',
    where: '--sp',
    found: `${mostRanks} ranks for ${numGpus} ${numGpus === 1 ? 'GPU' : 'GPUs'} of this host`,
    expected: 'a GPU for each rank',
    fix: `leave out what is above ${numGpus} ranks, or --set device.share=true to let ranks take turns on a GPU, which is for tests`,
    exitCode: 2,
  });
}
