import { availableParallelism } from 'node:os';
import type { Schedule } from '@longscan/worker';
import type { JobSpec, Plan } from '@longscan/worker/protocol';
import { assumedFabric } from '../fabric/load-fabric.js';
import { thisMachine } from '../fabric/machine.js';
import { fitErrorsOf } from '../fit-errors.js';
import type { LayerModules } from '../layer-code/computations.js';
import type { LayerCode } from '../layer-code/layer-code.js';
import { withLayerCode } from '../layer-code/with-layer-code.js';
import { runOnRanks } from '../run-task.js';
import { type StepRow, stepRow } from '../step-row.js';
import { packageVersion } from '../version.js';
import { type ComputeFile, computeFileVersion, type FittedShape } from './compute-file.js';
import { fitCosts, isWaiting, type ProfiledStep } from './fit-costs.js';
import { type LoadJob, measuredShapes } from './measured-shapes.js';
import { computeSeconds } from './op-seconds.js';

export interface MeasureOptions {
  readonly modules: LayerModules;
  readonly numWarmUps: number;
  readonly numSteps: number;
  readonly signal: AbortSignal;
  /** Told before each measurement. */
  readonly log: (line: string) => void;
}

/** Steps whose ops are timed. */
const numProfiled = 7;

/** A job's step on one rank, before it is timed. */
interface PlannedStep {
  readonly spec: JobSpec;
  readonly plan: Plan;
  readonly schedule: Schedule;
}

/** A job's step on one rank. */
interface MeasuredStep extends ProfiledStep {
  readonly spec: JobSpec;
  readonly row: StepRow;
}

/**
 * What a job's ops cost on this machine: its step on one rank at several shapes, fitted; on a CPU also with as many ranks at
 * once as it has cores for, to see how they slow each other down. Ranks have one thread each unless the job says otherwise.
 */
export async function measureCompute(
  loadJob: LoadJob,
  options: MeasureOptions,
): Promise<{ file: ComputeFile; notes: string[] }> {
  const job = await loadJob([]);
  const isOnCpu = job.device.kind === 'cpu';
  const threads = job.device.threads === 'auto' ? 1 : job.device.threads;
  const load: LoadJob = (overrides) => loadJob([...overrides, `device.threads=${threads}`]);
  const { shapes, notes } = await measuredShapes(load, job);
  const together = isOnCpu ? await ranksTogether(load, middleOf(shapes), threads) : null;
  // All before anything is timed, which what layer files leave running would disturb.
  const planned = await withLayerCode(options.modules, { ...options, name: job.job.name }, async (code) => {
    const ofShapes: PlannedStep[] = [];
    for (const spec of shapes) ofShapes.push(await planStep(spec, code));
    const plan = together && (await code.compute('planJob', together, assumedFabric(together)));
    return { ofShapes, together: plan };
  });
  const steps: MeasuredStep[] = [];
  for (const step of planned.ofShapes) {
    options.log(`${describe(step.spec)} on one rank`);
    steps.push(await timeStep(step, options));
  }
  const costs = fitCosts(steps);
  const slowdown =
    planned.together === null ? [1] : await measureSlowdown(middleOf(steps), planned.together, options);
  const fitted = steps.map(({ spec, row, schedule }): FittedShape => {
    const [measuredS, fittedS] = [row.medianMs / 1000, computeSeconds(costs, schedule)];
    const { model } = spec;
    return {
      ...{ B: row.B, T: row.T, dModel: model.dModel, numLayers: model.numLayers },
      ...{ measuredS, fittedS, relativeError: fittedS / measuredS - 1 },
    };
  });
  const machine = thisMachine();
  const device = isOnCpu ? 'cpu' : String(steps[0]!.row.machine.name);
  const file: ComputeFile = {
    schema: computeFileVersion,
    name: isOnCpu ? `${machine.cpu}, ${threads} ${threads === 1 ? 'thread' : 'threads'} a rank` : device,
    ...costs,
    ranksAtOnce: isOnCpu ? slowdown.length : null,
    slowdown,
    ...(isOnCpu && { enqueueS: enqueueSeconds(steps, threads) }),
    measured: {
      date: new Date().toISOString(),
      machine: { ...machine, device },
      threads: isOnCpu ? threads : null,
      precision: job.model.precision,
      versions: { longscan: packageVersion(), node: process.versions.node },
      ...fitErrorsOf(fitted),
      shapes: fitted,
    },
  };
  return { file, notes };
}

/** Plans a job's step and records its schedule. */
export async function planStep(spec: JobSpec, code: LayerCode): Promise<PlannedStep> {
  const plan = await code.compute('planJob', spec);
  const [schedule] = await code.compute('recordSchedules', plan);
  return { spec, plan, schedule: schedule! };
}

export async function timeStep(
  { spec, plan, schedule }: PlannedStep,
  options: MeasureOptions,
): Promise<MeasuredStep> {
  const row = await timeSteps(plan, options);
  return { spec, row, schedule, ops: row.ops };
}

async function timeSteps(
  plan: Plan,
  { modules, numWarmUps, numSteps, signal }: MeasureOptions,
): Promise<StepRow> {
  const task = { kind: 'bench-step', numWarmUps, numSteps, numProfiled } as const;
  return stepRow(null, plan, numWarmUps, await runOnRanks(task, plan, modules, { signal }));
}

/** As many ranks as there are cores for, each with a batch like that of `alone`; null: for no more than one. */
async function ranksTogether(load: LoadJob, alone: JobSpec, threads: number): Promise<JobSpec | null> {
  const most = Math.max(1, Math.floor(availableParallelism() / threads));
  if (most === 1) return null;
  const { batchSize, sequenceLength } = alone.data;
  return load([
    ...[`parallel.sp=1`, `parallel.dp=${most}`, `data.batchSize=${most * batchSize}`],
    ...[`data.sequenceLength=${sequenceLength}`, `model.dModel=${alone.model.dModel}`],
  ]);
}

/** By numbers of ranks at once from 1: how many times longer their ops take; below those measured it is taken to grow evenly. */
async function measureSlowdown(
  alone: MeasuredStep,
  together: Plan,
  options: MeasureOptions,
): Promise<number[]> {
  const most = together.mesh.numRanks;
  options.log(`${describe(together.jobSpec)} on ${most} ranks at once`);
  const row = await timeSteps(together, options);
  const times = new Map(row.ops.map(({ name, ms }) => [name, ms]));
  let [before, after] = [0, 0];
  for (const { name, ms } of alone.ops) {
    const now = times.get(name);
    // What ranks do together is no op of theirs.
    if (now === undefined || name.startsWith('stream')) continue;
    before += ms;
    after += now;
  }
  const slowest = Math.max(1, after / before);
  return Array.from({ length: most }, (_, i) => 1 + ((slowest - 1) * i) / (most - 1));
}

/** Core time of a call beside its op's: what the process took in a step beyond its compute threads' work, mean over the steps. */
function enqueueSeconds(steps: readonly MeasuredStep[], threads: number): number {
  const each = steps.map(({ row, schedule }) => {
    const computeMs = row.ops.reduce((sum, { name, ms }) => (isWaiting(name) ? sum : sum + ms), 0);
    return Math.max(0, row.coreMs - threads * computeMs) / 1000 / schedule.entries.length;
  });
  return each.reduce((sum, seconds) => sum + seconds, 0) / each.length;
}

function middleOf<T>(steps: readonly T[]): T {
  return steps[Math.floor((steps.length - 1) / 2)]!;
}

function describe({ data, model }: JobSpec): string {
  return `${data.batchSize} x ${data.sequenceLength} tokens, ${model.numLayers} layers of ${model.dModel}`;
}
