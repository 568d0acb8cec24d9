import { adviceOf, describePeak, neededBytes, processBytes, settingsThatFit } from '@longscan/worker';
import { LongscanError, type Plan } from '@longscan/worker/protocol';
import { linksOf } from '../fabric/load-fabric.js';
import { formatBytes } from '../format.js';
import { memoryLimit } from './memory-limit.js';
import { planJob, planMemory } from './plan-job.js';

/**
 * Refuses a plan whose ranks need more memory than they may have, with settings that would fit, each planned to see that.
 * `layerModules`: bundled module of each layer file outside the packages; `limitOf`: what a rank of a job may have.
 * @throws LongscanError E-PLAN-MEMORY
 */
export async function checkMemory(
  plan: Plan,
  layerModules: Readonly<Record<string, string>> = {},
  limitOf: typeof memoryLimit = memoryLimit,
): Promise<void> {
  const { jobSpec, mesh } = plan;
  const limit = limitOf(jobSpec);
  const needed = neededBytes(plan);
  if (limit === null || needed <= limit.bytes) return;
  const settings = await settingsThatFit(jobSpec, {
    neededBytes: needed,
    estimate: (changed) =>
      changed.parallel.sp === 1 ? null : planMemory(changed, layerModules, linksOf(plan)),
    replan: (changed) => planJob(changed, layerModules, linksOf(plan)),
    limitOf: (changed) => limitOf(changed)?.bytes ?? Number.POSITIVE_INFINITY,
  });
  const ranks = mesh.numRanks === 1 ? 'the rank' : `each of ${mesh.numRanks} ranks`;
  throw new LongscanError({
    code: 'E-PLAN-MEMORY',
    where: 'device.memory',
    found: `${ranks} needs ${formatBytes(needed)}: ${describeNeed(plan)}`,
    expected: `at most ${formatBytes(limit.bytes)} (${limit.reason})`,
    fix: adviceOf(settings),
    exitCode: 2,
  });
}

/** Of what it consists. */
function describeNeed(plan: Plan): string {
  const { peakBytes, reservedBytes } = plan.perRank;
  const peak = `${formatBytes(peakBytes)} of tensors at the peak (${describePeak(plan)})`;
  if (plan.jobSpec.device.kind === 'cuda') return peak;
  return `${peak}, ${formatBytes(reservedBytes - peakBytes)} between them, ${formatBytes(processBytes)} of the process`;
}
