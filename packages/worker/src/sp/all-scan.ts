import { chainCost, chainSeconds, startChain } from '../chain.js';
import { defineStrategy, type FabricCost } from '../strategy.js';

const blockCounts = [1, 2, 4, 8, 16, 32, 64] as const;

/**
 * ZeCO's All-Scan: the chain in blocks of the state, P + K_b - 2 block steps on the critical path. The paper cuts along
 * K, which holds for diagonal M only; here the cut is along the free axis (V), which M never mixes.
 */
export default defineStrategy({
  name: 'all-scan',
  paper: 'https://arxiv.org/abs/2507.01004',
  cost: (worldSize, bytes, fabric) =>
    chainCost(worldSize, bytes, bestSeconds(worldSize, bytes.state, fabric)),
  keepsUnits: true,
  blockCounts,
  start: (local, group, direction, { blocks }) => startChain(local, group, direction, blocks),
});

function bestSeconds(worldSize: number, bytes: number, fabric: FabricCost): number {
  return Math.min(...blockCounts.map((blocks) => chainSeconds(worldSize, bytes, blocks, fabric)));
}
