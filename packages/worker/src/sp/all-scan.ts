import { chainCost, chainSeconds, startChain } from '../chain.js';
import { blockCounts, defineStrategy } from '../strategy.js';

/**
 * ZeCO's All-Scan: the chain in blocks of the state, P + K_b - 2 block steps on the critical path. The paper cuts along
 * K, which holds for diagonal M only; here the cut is along the free axis (V), which M never mixes.
 */
export default defineStrategy({
  name: 'all-scan',
  paper: 'https://arxiv.org/abs/2507.01004',
  cost: (worldSize, bytes, fabric, options) => {
    const inBlocks = (blocks: number) => chainSeconds(worldSize, bytes, blocks, fabric);
    const tried = options === undefined ? blockCounts : [options.blocks];
    return chainCost(worldSize, bytes, Math.min(...tried.map(inBlocks)));
  },
  takes: 'blocks',
  keepsUnits: true,
  start: (local, group, direction, { blocks }) => startChain(local, group, direction, blocks),
});
