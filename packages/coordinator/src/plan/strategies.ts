import type { AttentionStrategy, Strategy } from '@longscan/worker';
import { importUnit, listUnits } from '../units.js';

/** The planner's view of an SP strategy: pure arithmetic, no communicator. */
export type StrategyCost = Pick<
  Strategy,
  'name' | 'cost' | 'start' | 'serial' | 'keepsUnits' | 'takes' | 'needsWholeNodes'
>;

/** Every strategy of the worker's sp folder. */
export async function loadStrategies(): Promise<StrategyCost[]> {
  return Promise.all(listUnits('sp').map(async (name) => (await importUnit('sp', name)) as StrategyCost));
}

/** Every strategy for softmax layers. */
export async function loadAttentionStrategies(): Promise<AttentionStrategy[]> {
  const folder = 'attention-strategies';
  return Promise.all(
    listUnits(folder).map(async (name) => (await importUnit(folder, name)) as AttentionStrategy),
  );
}
