import { chainSeconds, type FabricCost } from '@longscan/worker';
import type { StrategyCost } from '../plan/strategies.js';
import { sumCost } from '../plan/sum-time.js';
import type { CollectiveRow } from './rows.js';

/**
 * What the planner's models say of an operation that was measured: strategies by their own cost, collectives as what the
 * built-in engine does (rings, or direct messages where they are small). Null for a strategy that is not installed here.
 */
export function predictSeconds(
  row: CollectiveRow,
  fabric: FabricCost,
  strategies: readonly StrategyCost[],
): number | null {
  const { op, bytes, numRanks } = row;
  switch (op) {
    case 'send-recv':
      return linkOf(row, fabric).latencyS + bytes / linkOf(row, fabric).bandwidthBytesPerS;
    case 'burst':
      return Math.max(linkOf(row, fabric).gapS, bytes / linkOf(row, fabric).bandwidthBytesPerS);
    case 'all-gather':
    case 'reduce-scatter':
      return shareAroundSeconds(numRanks, bytes / numRanks, fabric);
    case 'all-reduce':
      // A sum in a model is one all-reduce forward and one of the gradient.
      return sumCost(numRanks, [{ layer: 0, bytes }], { name: '', ...fabric }).seconds / 2;
    case 'scan':
      return scanSeconds(row, fabric, strategies);
  }
}

function linkOf({ link }: CollectiveRow, fabric: FabricCost) {
  return link === 'between' ? (fabric.nodes?.between ?? fabric) : fabric;
}

/** Every rank hands P - 1 shares to the next one. */
function shareAroundSeconds(numRanks: number, share: number, { nodes, ...inside }: FabricCost): number {
  const { latencyS, bandwidthBytesPerS } = nodes?.between ?? inside;
  return (numRanks - 1) * (latencyS + share / bandwidthBytesPerS);
}

function scanSeconds(
  { strategy: name, bytes, blocks, transitionBytes, stateRows, ranksPerNode, numRanks }: CollectiveRow,
  fabric: FabricCost,
  strategies: readonly StrategyCost[],
): number | null {
  const strategy = strategies.find((one) => one.name === name);
  if (strategy === undefined) return null;
  // A chain in a given number of blocks; `cost` is that in the best one.
  if (strategy.blockCounts !== undefined) return chainSeconds(numRanks, bytes, blocks!, fabric);
  const between = fabric.nodes?.between ?? fabric;
  const nodes = ranksPerNode! < numRanks ? { ranksPerNode: ranksPerNode!, between } : undefined;
  const { nodes: _, ...inside } = fabric;
  const links = strategy.needsWholeNodes ? { ...inside, ...(nodes && { nodes }) } : fabric;
  const segment = { state: bytes, transition: transitionBytes!, rows: stateRows! };
  return strategy.cost(numRanks, segment, links).seconds;
}
