import type { Communicator } from '@longscan/kernels';
import { blockCounts, type Strategy, type StrategyOptions } from '../../strategy.js';
import { callsFor, type MeasuredCase } from './measured-case.js';
import type { ScanProblem } from './scan-problem.js';
import { upAndDown } from './up-and-down.js';

/** A call is two scans, each of many messages. */
const mostCalls = 25;

/**
 * Ways to run a strategy that differ: block counts that the state has rows for, unless the group has chains of its own; nodes
 * that the ranks fill.
 */
export function optionsFor(
  { takes }: Strategy,
  { size: numRanks, chain }: Pick<Communicator, 'size' | 'chain'>,
  rows: number,
): Required<StrategyOptions>[] {
  const whole = { blocks: 1, ranksPerNode: numRanks };
  if (takes === 'blocks' && chain === undefined)
    return blockCounts.filter((blocks) => blocks <= rows).map((blocks) => ({ ...whole, blocks }));
  if (takes !== 'ranksPerNode') return [whole];
  const sizes = Array.from({ length: numRanks }, (_, i) => i + 1).slice(1);
  return sizes
    .filter((ranksPerNode) => numRanks % ranksPerNode === 0)
    .map((ranksPerNode) => ({ ...whole, ranksPerNode }));
}

/** A whole strategy, as a training step has its scans: forward, then in reverse. */
export function scanCase(
  group: Communicator,
  { name, start }: Strategy,
  options: Required<StrategyOptions>,
  problem: ScanProblem,
): MeasuredCase {
  const ways = { op: 'scan', strategy: name, ...options } as const;
  const counts = { numScans: 1, numCalls: callsFor(problem.bytes, mostCalls) };
  return upAndDown(group, problem, ways, counts, (local, direction) =>
    start(local, group, direction, options),
  );
}
