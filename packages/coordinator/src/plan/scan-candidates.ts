import { blockCounts, type StrategyOptions } from '@longscan/worker';
import type { JobSpec } from '@longscan/worker/protocol';
import type { StrategyCost } from './strategies.js';

/** One way to run the scans of a layer. */
export interface ScanCandidate {
  readonly strategy: StrategyCost;
  readonly options: Required<StrategyOptions>;
}

/**
 * Every strategy with every option that makes a difference to it, or with those that the job sets, whichever strategy it asks for.
 * `ranksPerNode`: neighbouring ranks of a sequence that do share a node; `chainsAreMapped`: chains cut the state as suits them.
 */
export function scanCandidates(
  strategies: readonly StrategyCost[],
  { parallel }: Pick<JobSpec, 'parallel'>,
  ranksPerNode: number,
  chainsAreMapped = false,
): ScanCandidate[] {
  const { sp, strategy: asked, blocks, ranksPerNode: askedSize } = parallel;
  const usual = { blocks: 1, ranksPerNode };
  return strategies.flatMap((strategy): ScanCandidate[] => {
    if (strategy.takes === 'blocks') {
      // One block is what another strategy does, unless the job asks for this one.
      const tried = blockCounts.filter((count) => count > 1 || asked === strategy.name);
      const counts = blocks === 'auto' ? (chainsAreMapped ? [1] : tried) : [blocks];
      return counts.map((count) => ({ strategy, options: { ...usual, blocks: count } }));
    }
    if (strategy.takes === 'ranksPerNode') {
      const sizes = askedSize === 'auto' ? groupSizes(sp, ranksPerNode) : [ranksPerNode];
      return sizes.map((size) => ({ strategy, options: { ...usual, ranksPerNode: size } }));
    }
    return [{ strategy, options: usual }];
  });
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
