import { LongscanError, type Plan } from '@longscan/worker/protocol';
import type { FabricFile } from '../fabric/fabric-file.js';
import { isProbed } from '../fabric/load-fabric.js';
import { checkMemory } from '../plan/check-memory.js';
import { planToRun } from '../plan/index.js';
import { probedFabric } from '../probe/probed-fabric.js';
import type { PlannedPoint, SimulatePoint } from './plan-curve.js';
import type { SimulatedPoint } from './scaling-file.js';

/** A point whose plan is what its ranks will do. */
export interface SettledPoint extends PlannedPoint {
  /** Null: not simulated. */
  readonly simulated: SimulatedPoint | null;
  /** Why no rank of it is started; null: nothing speaks against it. */
  readonly refused: LongscanError | null;
}

/** Starts the ranks of a plan to measure their links. */
export type Probe = (plan: Plan) => Promise<FabricFile>;

export interface SettleOptions {
  /** Bundled module of each layer file outside the packages, by the file's path. */
  readonly layerModules: Readonly<Record<string, string>>;
  /** Null: points are measured only. */
  readonly simulate: SimulatePoint | null;
  readonly probe: Probe;
}

/**
 * Probes a point's links where its job asks for that, and sees whether it has memory enough. What is wrong with one point, its
 * memory or its ranks, stands in the way of no other.
 * @throws LongscanError E-RUN-KILLED when it was interrupted; everything that is no LongscanError
 */
export async function settlePoint(point: PlannedPoint, options: SettleOptions): Promise<SettledPoint> {
  const { layerModules, simulate, probe } = options;
  let { plan } = point;
  let areLinksKnown = !isProbed(plan.jobSpec);
  let refused: LongscanError | null = null;
  try {
    await checkMemory(plan, layerModules);
    if (!areLinksKnown) {
      plan = await planToRun(plan.jobSpec, layerModules, probedFabric(await probe(plan)));
      areLinksKnown = true;
    }
  } catch (error) {
    if (!(error instanceof LongscanError) || error.code === 'E-RUN-KILLED') throw error;
    refused = error;
  }
  const simulated = simulate && areLinksKnown ? await simulate(plan, layerModules) : null;
  return { ...point, plan, simulated, refused };
}
