import { chainCost, chainSeconds, startChain, startSerial } from '../chain.js';
import { defineStrategy } from '../strategy.js';

/** LASP's ring: the whole state in one message per hop, P - 1 hops one after the other. */
export default defineStrategy({
  name: 'ring',
  paper: 'https://arxiv.org/abs/2404.02882',
  cost: (worldSize, bytes, fabric) => chainCost(worldSize, bytes, chainSeconds(worldSize, bytes, 1, fabric)),
  keepsUnits: true,
  start: (local, group, direction) => startChain(local, group, direction, 1),
  serial: startSerial,
});
