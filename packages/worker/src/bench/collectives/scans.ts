import { type Communicator, fill, type Tensor } from '@longscan/kernels';
import type { CollectiveCase, MeasuredTransition } from '../../protocol/collectives.js';
import type { Segment } from '../../state/segment.js';
import { blockCounts, type Strategy, type StrategyOptions } from '../../strategy.js';
import { expectValues } from './expect-values.js';
import { callsFor, describeCase, type MeasuredCase } from './measured-case.js';
import { foldedState, stateShape, transitionBytes, uploadSegment } from './scan-data.js';

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

/**
 * A forward scan, then the reverse one: the last rank begins that when it has its state, so that the first rank, where both
 * begin and end, sees the time of two scans without any clocks to compare.
 */
export function scanCase(
  group: Communicator,
  strategy: Strategy,
  options: Required<StrategyOptions>,
  problem: ScanProblem,
): MeasuredCase {
  const { device } = group.stream;
  const { bytes, transition, rows, expected } = problem;
  const what: CollectiveCase = {
    ...{ op: 'scan', bytes, link: null, strategy: strategy.name, ...options },
    ...{ transition, transitionBytes: problem.transitionBytes, stateRows: rows },
  };
  const numCalls = callsFor(bytes, mostCalls);
  let entered: readonly (Tensor | null)[] = [];
  const forget = () => {
    for (const tensor of entered) {
      if (tensor === null) continue;
      // The next scan may get the same memory: right values in it would hide that it writes none.
      fill(tensor, Number.NaN);
      tensor.release();
    }
    entered = [];
  };
  return {
    ...{ what, numCalls, numOps: 2 * numCalls, isTimed: group.rank === 0 },
    prepare: forget,
    enqueue(start) {
      start();
      for (let i = 0; i < numCalls; i++) {
        const there = device.scope(() => {
          const forward = strategy.start(problem.forward, group, 'forward', options);
          const reverse = strategy.start(problem.reverse, group, 'reverse', options);
          return i < numCalls - 1 ? [] : [forward.wait(), reverse.wait()];
        });
        if (i === numCalls - 1) entered = there;
      }
    },
    async check() {
      for (const [i, direction] of (['forward', 'reverse'] as const).entries()) {
        const [tensor, wanted] = [entered[i] ?? null, expected[i] ?? null];
        const where = `${describeCase(what, group)}, ${direction}`;
        if (tensor !== null && wanted !== null) await expectValues(where, tensor, group.stream, wanted);
        else if (tensor !== wanted) throw new TypeError(`${where}: a state belongs where the scan has begun`);
      }
    },
    release: forget,
  };
}
