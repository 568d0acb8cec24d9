import type { Communicator } from '@longscan/kernels';
import type { AttentionStrategy } from '../attention-strategy.js';
import type { Strategy, StrategyOptions } from '../strategy.js';

/** A contiguous run of tokens of a sequence, counted from its first one. */
export interface SliceRange {
  readonly start: number;
  readonly length: number;
}

/** The ranks that hold the slices of one sequence. */
export interface SliceGroup {
  readonly communicator: Pick<Communicator, 'rank' | 'stream' | 'exchange'>;
  /** Of every rank, in rank order: one follows the other. */
  readonly slices: readonly SliceRange[];
}

/** And how states cross them. */
export interface SequenceGroup extends SliceGroup {
  readonly communicator: Communicator;
  readonly strategy: Strategy;
  readonly options: StrategyOptions;
}

/** How the states of a layer cross ranks. */
export type Scan = Pick<SequenceGroup, 'strategy' | 'options'>;

/** And how the states of each layer, keys and values do. */
export interface ModelGroup extends SliceGroup {
  readonly communicator: Communicator;
  scanOf(layer: number): Scan;
  readonly attention: AttentionStrategy;
}

/** The ranks as the recurrences of one layer see them. */
export function groupOfLayer(group: ModelGroup | null, layer: number): SequenceGroup | null {
  return group && { ...group, ...group.scanOf(layer) };
}

/** Slices of these lengths, one after the other. */
export function slicesOf(lengths: readonly number[]): SliceRange[] {
  let end = 0;
  return lengths.map((length) => {
    end += length;
    return { start: end - length, length };
  });
}
