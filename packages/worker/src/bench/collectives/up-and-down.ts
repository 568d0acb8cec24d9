import { type Communicator, fill, type Tensor } from '@longscan/kernels';
import type { CollectiveCase } from '../../protocol/collectives.js';
import type { Segment } from '../../state/segment.js';
import type { Direction, PendingState } from '../../strategy.js';
import { expectValues } from './expect-values.js';
import { describeCase, type MeasuredCase } from './measured-case.js';
import type { ScanProblem } from './scan-problem.js';

export interface ScanCounts {
  /** Forward, one behind the other, before as many in reverse. */
  readonly numScans: number;
  /** Times that this is enqueued for one sample. */
  readonly numCalls: number;
}

/**
 * Forward scans, then reverse ones: the last rank begins those when it has its states, so that the first rank, where both
 * begin and end, sees the time of all of them without any clocks to compare.
 */
export function upAndDown(
  group: Communicator,
  problem: ScanProblem,
  ways: Pick<CollectiveCase, 'op' | 'strategy' | 'blocks' | 'ranksPerNode'>,
  { numScans, numCalls }: ScanCounts,
  start: (local: Segment, direction: Direction) => PendingState,
): MeasuredCase {
  const { device } = group.stream;
  const { bytes, transition, transitionBytes, rows, expected } = problem;
  const what: CollectiveCase = {
    ...{ ...ways, bytes, link: null, transition, transitionBytes, stateRows: rows },
  };
  const run = (direction: Direction) => {
    const startOne = () => start(problem[direction], direction);
    for (let i = 1; i < numScans; i++) device.scope(() => void startOne());
    return startOne();
  };
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
    ...{ what, numCalls, numOps: 2 * numScans * numCalls, isTimed: group.rank === 0 },
    prepare: forget,
    enqueue(begin) {
      begin();
      for (let i = 0; i < numCalls; i++) {
        const both = device.scope(() => {
          const [forward, reverse] = [run('forward'), run('reverse')];
          return i < numCalls - 1 ? [] : [forward.wait(), reverse.wait()];
        });
        if (i === numCalls - 1) entered = both;
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
