import type { Communicator } from '@longscan/kernels';
import type { MeasuredTransition } from '../../protocol/collectives.js';
import type { Segment } from '../../state/segment.js';
import { blockCounts, type Strategy, type StrategyOptions } from '../../strategy.js';
import { callsFor, type MeasuredCase } from './measured-case.js';
import { foldedState, stateShape, transitionBytes, uploadSegment } from './scan-data.js';
import { upAndDown } from './up-and-down.js';

/** A call is two scans, each of many messages. */
const mostCalls = 25;

/** What all strategies scan on this rank, there and back, and what has to come out. */
export interface ScanProblem {
  readonly bytes: number;
  readonly transition: MeasuredTransition;
  readonly transitionBytes: number;
  readonly rows: number;
  readonly forward: Segment;
  readonly reverse: Segment;
  readonly expected: readonly (Float32Array | null)[];
  release(): void;
}

export function scanProblem(group: Communicator, transition: MeasuredTransition, bytes: number): ScanProblem {
  const { rank, size, stream } = group;
  const shape = stateShape(bytes);
  const directions = ['forward', 'reverse'] as const;
  const [forward, reverse] = directions.map((direction) =>
    uploadSegment(stream.device, transition, shape, rank, direction),
  );
  return {
    ...{ bytes, transition, rows: shape.H * shape.R, forward: forward!, reverse: reverse! },
    transitionBytes: transitionBytes(transition, shape),
    expected: directions.map((direction) => foldedState(transition, shape, rank, size, direction)),
    release() {
      for (const segment of [forward!, reverse!]) {
        segment.state.release();
        segment.factor?.release();
      }
    },
  };
}

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
