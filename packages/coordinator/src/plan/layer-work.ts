import { type OpEntry, recordLayerOps } from '@longscan/worker';
import type { Plan } from '@longscan/worker/protocol';
import type { ComputeCosts } from '../compute/compute-costs.js';
import { opSeconds } from '../compute/op-seconds.js';
import type { LayerWork } from './layer-scans.js';

/**
 * What each layer of a plan computes while its scans are under way, by the worker's own step; and an even share of all the rest,
 * which is what it has until the next scan. `numRecurrences`: calls of a layer.
 */
export async function layerWork(
  plan: Plan,
  compute: ComputeCosts,
  numRecurrences: (layer: number) => number,
  modules: Readonly<Record<string, string>> = {},
): Promise<(layer: number) => LayerWork> {
  const { scans, alone } = await recordLayerOps(plan, modules);
  const seconds = (ops: readonly OpEntry[]) => ops.reduce((sum, op) => sum + opSeconds(compute, op), 0);
  const numRuns = (layer: number, numScans: number) => Math.max(1, numScans / numRecurrences(layer));
  const numLayerRuns =
    new Set(scans.map(({ layer }) => layer)).size * numMicroBatches(scans, numRecurrences) * 2;
  const aloneS = numLayerRuns === 0 ? 0 : seconds(alone) / numLayerRuns;
  return (layer) => {
    const of = (direction: 'forward' | 'reverse') => {
      const own = scans.filter((scan) => scan.layer === layer && scan.direction === direction);
      const besideS = own.reduce((sum, { beside }) => sum + seconds(beside), 0);
      return { besideS: besideS / numRuns(layer, own.length), aloneS };
    };
    return { forward: of('forward'), reverse: of('reverse') };
  };
}

/** How often a step runs each layer. */
function numMicroBatches(
  scans: readonly { readonly layer: number; readonly direction: string }[],
  numRecurrences: (layer: number) => number,
): number {
  const [first] = scans;
  if (first === undefined) return 0;
  const own = scans.filter(({ layer, direction }) => layer === first.layer && direction === first.direction);
  return own.length / numRecurrences(first.layer);
}
