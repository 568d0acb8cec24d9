import type { JobSpec, Plan } from '@longscan/worker/protocol';
import { loadCompute } from '../compute/load-compute.js';
import { linksOf } from '../fabric/load-fabric.js';
import { mostRanks } from '../simulate/limits.js';
import { simulateStep } from '../simulate/simulate-step.js';
import { withNodesOfJob } from './nodes.js';

/** How long a training step takes by the cost model. Seconds. */
export interface StepTime {
  readonly modelled: true;
  readonly stepSeconds: number;
  /** Of all ranks together, padding left out. */
  readonly tokensPerSecond: number;
  /** By rank: the compute stream calculates, stands still for states, and for gradients. */
  readonly ranks: readonly {
    readonly busyS: number;
    readonly exposedS: number;
    readonly exposedGradientS: number;
  }[];
  /** What it is based on. */
  readonly fabric: string;
  readonly compute: string;
  /** Where that is not this machine, measured, or does not know all ops. */
  readonly notes: readonly string[];
}

/**
 * Simulates the schedules of a plan's ranks; null for more of them than can be simulated.
 *
 * @param compute Preset or compute file; undefined: the preset of the job's kind of device.
 * @param layerModules Bundled module of each layer file outside the packages, by the file's path.
 */
export async function stepTime(
  plan: Plan,
  compute: string | undefined,
  layerModules: Readonly<Record<string, string>> = {},
): Promise<StepTime | null> {
  const { jobSpec, mesh } = plan;
  if (mesh.numRanks > mostRanks) return null;
  const costs = loadCompute(compute ?? presetFor(jobSpec));
  const fabric = withNodesOfJob(linksOf(plan), jobSpec);
  const { seconds, ranks, notes } = await simulateStep(plan, { fabric, compute: costs }, layerModules);
  return {
    modelled: true,
    stepSeconds: seconds,
    tokensPerSecond: (jobSpec.data.batchSize * jobSpec.data.sequenceLength) / seconds,
    ranks: ranks.map(({ busyS, stoodStillS: { sp = 0, world = 0 } }) => ({
      ...{ busyS, exposedS: sp, exposedGradientS: world },
    })),
    ...{ fabric: fabric.name, compute: costs.name, notes: [...(costs.notes ?? []), ...notes] },
  };
}

/** GPUs as the fabric's preset names them, the newer ones where it names none. */
export function presetFor({ device, parallel }: JobSpec): string {
  if (device.kind === 'cpu') return 'cpu';
  return parallel.fabric === 'h100' ? 'h100' : 'h200';
}
