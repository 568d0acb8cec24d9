import type { StrategyOptions } from '@longscan/worker';

/** A scan to choose a strategy for, and the links that it runs over. */
export interface Cell {
  readonly numRanks: number;
  /** Of E; in heads of [64, 64] in f32. */
  readonly stateBytes: number;
  /** Class of M: 1/64 of the state's bytes, or as many. */
  readonly transition: 'diagonal' | 'dense';
  /** Of each rank's port, in either direction; null: whatever the machine can do. */
  readonly mbitPerS: number | null;
  /** Of every message. */
  readonly delayMs: number;
}

/** One way to run the scan of a cell. */
export interface Candidate {
  readonly strategy: string;
  readonly options: Required<StrategyOptions>;
}

/** Numbers in a row of a state, and rows of a head. */
export const headSize = 64;
export const bytesPerHead = 4 * headSize * headSize;

const rankCounts = [2, 4, 8];
const stateSizes = [32 << 10, 256 << 10, 2 << 20];
const rates = [50, 200, null];
const delays = [0, 2, 10];

/** The grid, cells of the same links one after the other. */
export function allCells(): Cell[] {
  const cells: Cell[] = [];
  for (const mbitPerS of rates) {
    for (const delayMs of delays) {
      for (const numRanks of rankCounts) {
        for (const stateBytes of stateSizes) {
          for (const transition of ['diagonal', 'dense'] as const) {
            cells.push({ numRanks, stateBytes, transition, mbitPerS, delayMs });
          }
        }
      }
    }
  }
  return cells;
}

/** Every strategy with every number of blocks and every grouping that makes a difference to it. */
export function candidatesOf({ numRanks }: Cell): Candidate[] {
  const candidate = (strategy: string, blocks = 1, ranksPerNode = numRanks): Candidate => ({
    strategy,
    options: { blocks, ranksPerNode },
  });
  const sizes = [2, 4, 8].filter((size) => numRanks % size === 0);
  return [
    candidate('ring'),
    ...[2, 4, 8, 16, 32, 64].map((blocks) => candidate('all-scan', blocks)),
    candidate('all-gather'),
    candidate('doubling-scan'),
    ...sizes.map((size) => candidate('two-level', 1, size)),
  ];
}
