import type { Communicator } from '@longscan/kernels';
import { startChain } from '../../chain.js';
import { burstLength } from '../../protocol/collectives.js';
import { callsFor, type MeasuredCase } from './measured-case.js';
import type { ScanProblem } from './scan-problem.js';
import { upAndDown } from './up-and-down.js';

const ofNoStrategy = { strategy: null, blocks: null, ranksPerNode: null } as const;

/** A state's way up all ranks, then one down: each chain waits for the one before, from its launch to its end. */
export function chainCase(
  group: Communicator,
  problem: ScanProblem,
  numCalls = callsFor(problem.bytes, 50),
): MeasuredCase {
  return chainsOf('chain', group, problem, { numScans: 1, numCalls });
}

/** A run of chains up, then one down: on every rank they follow each other, a launch apart at least. */
export function chainRunCase(
  group: Communicator,
  problem: ScanProblem,
  numCalls = callsFor(burstLength * problem.bytes, 4),
): MeasuredCase {
  return chainsOf('chain-run', group, problem, { numScans: burstLength, numCalls });
}

function chainsOf(
  op: 'chain' | 'chain-run',
  group: Communicator,
  problem: ScanProblem,
  counts: Parameters<typeof upAndDown>[3],
): MeasuredCase {
  return upAndDown(group, problem, { op, ...ofNoStrategy }, counts, (local, direction) =>
    startChain(local, group, direction, 1),
  );
}
