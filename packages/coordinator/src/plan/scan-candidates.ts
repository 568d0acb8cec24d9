import { blockCounts, mappedOn, type StrategyOptions } from '@longscan/worker';
import type { JobSpec } from '@longscan/worker/protocol';
import type { Fabric } from '../fabric/fabric.js';
import { type LayerScans, segmentBytes } from './layer-scans.js';
import type { StrategyCost } from './strategies.js';

/** One way to run the scans of a layer. */
export interface ScanCandidate {
  readonly strategy: StrategyCost;
  readonly options: Required<StrategyOptions>;
}

/** What candidates are for: the scans of a layer on these links. */
export interface ScansOnLinks {
  readonly scans: Pick<LayerScans, 'recurrences' | 'units'>;
  readonly fabric: Fabric;
  /** Neighbouring ranks of a sequence that do share a node. */
  readonly ranksPerNode: number;
}

/** Every strategy with every option that makes a difference to it, or with those that the job sets, whichever strategy it asks for. */
export function scanCandidates(
  strategies: readonly StrategyCost[],
  { parallel }: Pick<JobSpec, 'parallel'>,
  { scans, fabric, ranksPerNode }: ScansOnLinks,
): ScanCandidate[] {
  const { sp, strategy: asked, blocks, ranksPerNode: askedSize } = parallel;
  const usual = { blocks: 1, ranksPerNode };
  return strategies.flatMap((strategy): ScanCandidate[] => {
    if (strategy.takes === 'blocks') {
      // One block is what another strategy does, unless the job asks for this one.
      const tried = blockCounts.filter((count) => count > 1 || asked === strategy.name);
      const counts = blocks === 'auto' ? (areMapped(scans, fabric) ? [1] : tried) : [blocks];
      return counts.map((count) => ({ strategy, options: { ...usual, blocks: count } }));
    }
    if (strategy.takes === 'ranksPerNode') {
      const sizes = askedSize === 'auto' ? groupSizes(sp, ranksPerNode) : [ranksPerNode];
      return sizes.map((size) => ({ strategy, options: { ...usual, ranksPerNode: size } }));
    }
    return [{ strategy, options: usual }];
  });
}

/** Whether the chains of all recurrences go through mapped memory, where they cut the state as suits them. */
function areMapped({ recurrences, units }: ScansOnLinks['scans'], fabric: Fabric): boolean {
  if (fabric.chains === undefined) return false;
  return recurrences.every((recurrence) => mappedOn(segmentBytes(recurrence, units), fabric) !== null);
}

/** Sizes of equal groups that lie in nodes, or that whole nodes lie in; between 2 and a number that a port can serve. */
function groupSizes(sp: number, ranksPerNode: number): number[] {
  const sizes = Array.from({ length: Math.min(sp, mostInGroup) }, (_, i) => i + 1).filter(
    (size) => sp % size === 0 && (size % ranksPerNode === 0 || ranksPerNode % size === 0),
  );
  return sizes.length > 1 ? sizes.filter((size) => size > 1) : sizes;
}

/** Everybody of a group sends to everybody: beyond this the messages alone take longer than any other way. */
const mostInGroup = 64;
