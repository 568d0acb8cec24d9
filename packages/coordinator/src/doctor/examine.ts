import { checkpointBytes } from '../plan/checkpoint-bytes.js';
import type { Check } from './check.js';
import { checkGpus, type GpuChecks } from './gpus.js';
import { guarded } from './guarded.js';
import { checkAddon, checkCores, checkDisk, checkMemory, checkNode, checkSockets } from './host.js';
import { checkPlan, type ExaminedJob, examineJob } from './job.js';

export interface ExamineOptions {
  /** A job file. Default: the machine alone is looked at. */
  readonly job?: string | undefined;
  /** `--set` texts. */
  readonly overrides?: readonly string[];
}

/**
 * Looks at this machine, and at what a job wants of it. Starts no ranks, keeps no files, and what it started is gone when it
 * returns; no check waits for ever or keeps others from theirs.
 */
export async function examine({ job, overrides = [] }: ExamineOptions = {}): Promise<readonly Check[]> {
  let examined: ExaminedJob = { checks: [], jobSpec: null, plan: null };
  const jobChecks = await guarded('job', async (signal) => {
    if (job !== undefined) examined = await examineJob(job, overrides, signal);
    return examined.checks;
  });
  const { jobSpec, plan } = examined;
  const isForJob = jobSpec?.device.kind === 'cuda';
  const numRanks = jobSpec === null ? 1 : jobSpec.parallel.sp * jobSpec.parallel.dp;
  let found: GpuChecks = { checks: [], gpus: [] };
  const machine = await Promise.all([
    guarded('node', () => [checkNode()]),
    guarded('addon', () => checkAddon(jobSpec?.device.kind === 'cpu')),
    guarded('cores', () => [checkCores()]),
    guarded('memory', () => [checkMemory()]),
    guarded('disk', () => [checkDisk(plan === null ? 0 : 2 * checkpointBytes(plan))]),
    guarded('sockets', async () => [await checkSockets()]),
    guarded('gpus', async () => {
      found = await checkGpus({ isForJob, needsNccl: isForJob && numRanks > 1 });
      return found.checks;
    }),
  ]);
  const wanted = plan === null ? [] : await guarded('job', (signal) => checkPlan(plan, found.gpus, signal));
  return [...machine.flat(), ...jobChecks, ...wanted];
}
