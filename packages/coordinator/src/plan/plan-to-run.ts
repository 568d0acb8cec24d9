import type { JobSpec, Plan } from '@longscan/worker/protocol';
import { checkMemory } from './check-memory.js';
import { planJob } from './plan-job.js';

/**
 * Plans a job that is to run with the memory there is.
 * @throws LongscanError what `planJob` and `checkMemory` throw
 */
export async function planToRun(
  jobSpec: JobSpec,
  layerModules: Readonly<Record<string, string>> = {},
): Promise<Plan> {
  const plan = await planJob(jobSpec, layerModules);
  await checkMemory(plan, layerModules);
  return plan;
}
