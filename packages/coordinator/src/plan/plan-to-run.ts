import type { JobSpec, Plan } from '@longscan/worker/protocol';
import type { Fabric } from '../fabric/fabric.js';
import { checkMemory } from './check-memory.js';
import { planJob } from './plan-job.js';

/**
 * Plans a job that is to run with the memory there is. Parameters as in `planJob`.
 * @throws LongscanError what `planJob` and `checkMemory` throw
 */
export async function planToRun(
  jobSpec: JobSpec,
  layerModules: Readonly<Record<string, string>> = {},
  links?: Fabric,
): Promise<Plan> {
  const plan = await planJob(jobSpec, layerModules, links);
  await checkMemory(plan, layerModules);
  return plan;
}
