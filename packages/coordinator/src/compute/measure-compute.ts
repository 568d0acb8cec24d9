import { availableParallelism } from 'node:os';
import { recordSchedules } from '@longscan/worker';
import type { JobSpec, Plan } from '@longscan/worker/protocol';
import { assumedFabric } from '../fabric/load-fabric.js';
import { thisMachine } from '../fabric/machine.js';
import { fitErrorsOf } from '../fit-errors.js';
import { planJob } from '../plan/index.js';
import { runOnRanks } from '../run-task.js';
import { type StepRow, stepRow } from '../step-row.js';
import { packageVersion } from '../version.js';
import { type ComputeFile, computeFileVersion, type FittedShape } from './compute-file.js';
import { fitCosts, isWaiting, type ProfiledStep } from './fit-costs.js';
import { type LoadJob, measuredShapes } from './measured-shapes.js';
import { computeSeconds } from './op-seconds.js';

export interface MeasureOptions {
  /** Bundled module of each layer file outside the packages. */
  readonly modules: Readonly<Record<string, string>>;
  readonly numWarmUps: number;
  readonly numSteps: number;
  readonly signal: AbortSignal;
  /** Told before each measurement. */
  readonly log: (line: string) => void;
}

/** Steps whose ops are timed. */
const numProfiled = 7;

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
  const steps: MeasuredStep[] = [];
  for (const spec of shapes) {
    options.log(`${describe(spec)} on one rank`);
    steps.push(await measureStep(spec, options));
  }
  const costs = fitCosts(steps);
  const slowdown = isOnCpu ? await measureSlowdown(load, steps, threads, options) : [1];
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

/** Times a job's step and records its schedule. */
export async function measureStep(spec: JobSpec, options: MeasureOptions): Promise<MeasuredStep> {
  const plan = await planJob(spec, options.modules);
  const row = await timeSteps(plan, options);
  const [schedule] = await recordSchedules(plan, options.modules, { documents: false });
  return { spec, row, schedule: schedule!, ops: row.ops };
}

async function timeSteps(
  plan: Plan,
  { modules, numWarmUps, numSteps, signal }: MeasureOptions,
): Promise<StepRow> {
  const task = { kind: 'bench-step', numWarmUps, numSteps, numProfiled } as const;
  return stepRow(null, plan, numWarmUps, await runOnRanks(task, plan, modules, { signal }));
}

/**
 * By numbers of ranks at once from 1: how many times longer their ops take. Measured with as many as there are cores for, each
 * with a batch of its own; in between it is taken to grow evenly.
 */
async function measureSlowdown(
  load: LoadJob,
  steps: readonly MeasuredStep[],
  threads: number,
  options: MeasureOptions,
): Promise<number[]> {
  const most = Math.max(1, Math.floor(availableParallelism() / threads));
  if (most === 1) return [1];
  const alone = steps[Math.floor((steps.length - 1) / 2)]!;
  const { batchSize, sequenceLength } = alone.spec.data;
  const together = await load([
    ...[`parallel.sp=1`, `parallel.dp=${most}`, `data.batchSize=${most * batchSize}`],
    ...[`data.sequenceLength=${sequenceLength}`, `model.dModel=${alone.spec.model.dModel}`],
  ]);
  options.log(`${describe(together)} on ${most} ranks at once`);
  const row = await timeSteps(await planJob(together, options.modules, assumedFabric(together)), options);
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

function describe({ data, model }: JobSpec): string {
  return `${data.batchSize} x ${data.sequenceLength} tokens, ${model.numLayers} layers of ${model.dModel}`;
}
