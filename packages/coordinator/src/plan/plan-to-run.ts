import type { JobSpec, Plan } from '@longscan/worker/protocol';
import type { Fabric } from '../fabric/fabric.js';
import { checkMemory } from './check-memory.js';
import { planApart } from './plan-apart.js';
import { planJob } from './plan-job.js';

/**
 * Plans a job that is to run with the memory there is. `links` as in `planJob`; `signal` ends it whatever code of the user's does.
 * @throws LongscanError what `planJob`, `checkMemory` and, with a signal, `planApart` throw
 */
export async function planToRun(
  jobSpec: JobSpec,
  layerModules: Readonly<Record<string, string>> = {},
  links?: Fabric,
  signal?: AbortSignal,
): Promise<Plan> {
  const isForeign = Object.keys(layerModules).length > 0;
  if (signal !== undefined && isForeign) return planApart({ jobSpec, layerModules, links }, signal);
  return planHere(jobSpec, layerModules, links);
}

/** In this thread, which hears nothing meanwhile. */
export async function planHere(
  jobSpec: JobSpec,
  layerModules: Readonly<Record<string, string>>,
  links: Fabric | undefined,
): Promise<Plan> {
  const plan = await planJob(jobSpec, layerModules, links);
  await checkMemory(plan, layerModules);
  return plan;
}
