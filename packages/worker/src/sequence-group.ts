import type { Communicator } from '@longscan/kernels';
import type { Strategy, StrategyOptions } from './strategy.js';

/** The ranks that hold the slices of one sequence, and how states cross them. */
export interface SequenceGroup {
  readonly communicator: Communicator;
  readonly strategy: Strategy;
  readonly options: StrategyOptions;
}
