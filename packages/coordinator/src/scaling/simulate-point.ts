import { loadCompute } from '../compute/load-compute.js';
import { linksOf } from '../fabric/load-fabric.js';
import type { SimulatePoint } from './plan-curve.js';

/**
 * Simulates points with these costs of ops, a preset or a compute file, on the links that each was planned for.
 *
 * @throws LongscanError for costs that are not there or cannot be read (exit code 2)
 */
export async function simulateWith(nameOrPath: string): Promise<SimulatePoint> {
  const compute = await loadCompute(nameOrPath);
  return async (plan, code) => {
    const fabric = linksOf(plan);
    const { seconds, exposedS } = await code.compute('simulateStep', plan, { fabric, compute });
    return {
      ...{ stepMs: 1000 * seconds, spExposedMs: 1000 * exposedS },
      ...{ fabric: fabric.name, compute: compute.name },
    };
  };
}
