import type { FabricCost } from '@longscan/worker';
import { burstLength } from '@longscan/worker/protocol';
import { messageSeconds } from '../fabric/fit-link.js';
import type { StrategyCost } from '../plan/strategies.js';
import { sumCost } from '../plan/sum-time.js';
import { directBytes } from '../simulate/collectives.js';
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
      return messageSeconds(linkOf(row, fabric), bytes);
    case 'burst':
      return messageSeconds(linkOf(row, fabric), bytes, burstLength);
    case 'all-gather':
    case 'reduce-scatter':
      return sharesSeconds(numRanks, bytes / numRanks, fabric);
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

/** Every rank sends P - 1 shares: small ones to all others at once, others around a ring. */
function sharesSeconds(numRanks: number, share: number, { nodes, ...inside }: FabricCost): number {
  const { latencyS, bandwidthBytesPerS } = nodes?.between ?? inside;
  const numSteps = share <= directBytes ? 1 : numRanks - 1;
  return numSteps * latencyS + ((numRanks - 1) * share) / bandwidthBytesPerS;
}

function scanSeconds(
  row: CollectiveRow,
  fabric: FabricCost,
  strategies: readonly StrategyCost[],
): number | null {
  const { bytes, blocks, transitionBytes, stateRows, ranksPerNode, numRanks } = row;
  const strategy = strategies.find(({ name }) => name === row.strategy);
  if (strategy === undefined) return null;
  const segment = { state: bytes, transition: transitionBytes!, rows: stateRows! };
  return strategy.cost(numRanks, segment, fabric, { blocks: blocks!, ranksPerNode: ranksPerNode! }).seconds;
}
