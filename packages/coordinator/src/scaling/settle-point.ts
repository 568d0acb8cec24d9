import { LongscanError, type Plan } from '@longscan/worker/protocol';
import type { FabricFile } from '../fabric/fabric-file.js';
import { isProbed } from '../fabric/load-fabric.js';
import type { LayerCode } from '../layer-code/layer-code.js';
import { probedFabric } from '../probe/probed-fabric.js';
import { isOfEveryPoint } from './is-of-every-point.js';
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
  /** With the code of the job's layers. */
  readonly withCode: <T>(body: (code: LayerCode) => Promise<T>) => Promise<T>;
  /** Null: points are measured only. */
  readonly simulate: SimulatePoint | null;
  readonly probe: Probe;
}

/**
 * Probes a point's links where its job asks for that, and sees whether it has memory enough. What is wrong with one point, its
 * memory or its ranks, stands in the way of no other.
 * @throws LongscanError E-RUN-KILLED when it was interrupted, E-ENDED where code of the layers' files ended what computes with it; everything that is no LongscanError
 */
export async function settlePoint(point: PlannedPoint, options: SettleOptions): Promise<SettledPoint> {
  const { withCode, simulate, probe } = options;
  let { plan } = point;
  let areLinksKnown = !isProbed(plan.jobSpec);
  let refused: LongscanError | null = null;
  try {
    await withCode((code) => code.compute('checkMemory', plan));
    if (!areLinksKnown) {
      // Nothing of the user's runs beside the ranks that measure.
      const links = probedFabric(await probe(plan));
      plan = await withCode((code) => code.compute('planToRun', plan.jobSpec, links));
      areLinksKnown = true;
    }
  } catch (error) {
    if (!(error instanceof LongscanError) || isOfEveryPoint(error)) throw error;
    refused = error;
  }
  const simulated = simulate && areLinksKnown ? await withCode((code) => simulate(plan, code)) : null;
  return { ...point, plan, simulated, refused };
}
