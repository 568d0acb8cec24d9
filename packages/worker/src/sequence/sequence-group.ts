import type { Communicator } from '@longscan/kernels';
import type { AttentionStrategy } from '../attention-strategy.js';
import type { Strategy, StrategyOptions } from '../strategy.js';
import type { SliceGroup } from './slice-group.js';

/** The ranks of one sequence, and how states cross them. */
export interface SequenceGroup extends SliceGroup {
  readonly communicator: Communicator;
  readonly strategy: Strategy;
  readonly options: StrategyOptions;
}

/** How the states of a layer cross ranks. */
export type Scan = Pick<SequenceGroup, 'strategy' | 'options'>;

/** The same, and how the states of each layer, keys and values do. */
export interface ModelGroup extends SliceGroup {
  readonly communicator: Communicator;
  scanOf(layer: number): Scan;
  readonly attention: AttentionStrategy;
}

/** The ranks as the recurrences of one layer see them. */
export function groupOfLayer(group: ModelGroup | null, layer: number): SequenceGroup | null {
  return group && { ...group, ...group.scanOf(layer) };
}
