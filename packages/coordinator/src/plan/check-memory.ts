import { adviceOf, describePeak, neededBytes, processBytes, settingsThatFit } from '@longscan/worker';
import { LongscanError, type Plan } from '@longscan/worker/protocol';
import { linksOf } from '../fabric/load-fabric.js';
import { formatBytes } from '../format.js';
import { memoryLimit } from './memory-limit.js';
import { planJob, planMemory } from './plan-job.js';

/** That a rank needs more than it may have, in words; null: it does not, or nobody knows what it may have. */
export function shortageOf(
  plan: Plan,
  limitOf: typeof memoryLimit = memoryLimit,
): Pick<LongscanError['parts'], 'found' | 'expected'> | null {
  const limit = limitOf(plan.jobSpec);
  const needed = neededBytes(plan);
  if (limit === null || needed <= limit.bytes) return null;
  const { numRanks } = plan.mesh;
  const ranks = numRanks === 1 ? 'the rank' : `each of ${numRanks} ranks`;
  return {
    found: `${ranks} needs ${formatBytes(needed)}: ${describeNeed(plan)}`,
    expected: `at most ${formatBytes(limit.bytes)} (${limit.reason})`,
  };
}

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
  const shortage = shortageOf(plan, limitOf);
  if (shortage === null) return;
  const settings = await settingsThatFit(plan.jobSpec, {
    neededBytes: neededBytes(plan),
    estimate: (changed) =>
      changed.parallel.sp === 1 && changed.model.timeSlice === 0
        ? null
        : planMemory(changed, layerModules, linksOf(plan)),
    replan: (changed) => planJob(changed, layerModules, linksOf(plan)),
    limitOf: (changed) => limitOf(changed)?.bytes ?? Number.POSITIVE_INFINITY,
  });
  throw new LongscanError({
    code: 'E-PLAN-MEMORY',
    where: 'device.memory',
    ...shortage,
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
