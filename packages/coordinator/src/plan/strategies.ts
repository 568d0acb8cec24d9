import { importUnit, listUnits } from '../spec/units.js';
import type { Fabric } from './fabric.js';

/** The planner's view of an SP strategy: pure arithmetic, no communicator. */
export interface StrategyCost {
  readonly name: string;
  /**
   * One exclusive scan over `worldSize` ranks of a segment with `bytes.state` bytes of E and `bytes.transition` of M.
   * Gives the time until the last rank has its state, and the bytes that each rank sends.
   */
  cost(
    worldSize: number,
    bytes: { readonly state: number; readonly transition: number },
    fabric: Fabric,
  ): { readonly seconds: number; readonly bytesSentByRank: readonly number[] };
}

/** Every strategy of the worker's sp folder. */
export async function loadStrategies(): Promise<StrategyCost[]> {
  return Promise.all(listUnits('sp').map(async (name) => (await importUnit('sp', name)) as StrategyCost));
}
