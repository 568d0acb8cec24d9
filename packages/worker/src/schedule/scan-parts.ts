import { type Communicator, Tensor } from '@longscan/kernels';
import type { Segment } from '../state/segment.js';
import type { Direction, Strategy, StrategyOptions } from '../strategy.js';
import { recordRanks } from './folded-ranks.js';
import type { Recorder } from './recorder.js';
import type { ScheduleEntry } from './schedule.js';
import { shapeGroup } from './shape-group.js';

/** What one rank enqueues where a scan starts, and where its compute stream waits for it. */
export type ScanEntries = Readonly<Record<'start' | 'wait', readonly ScheduleEntry[]>>;

/** A place in a step where ranks differ: a scan, by rank of the sequence. */
export interface ScanPart {
  readonly kind: 'scan';
  readonly phase: keyof ScanEntries;
  /** Number of the scan in the step, from 1. */
  readonly scan: number;
  readonly byRank: ReadonlyMap<number, ScanEntries>;
}

/** Runs the scans of one rank for others too, on the same shapes. */
export class ScanParts {
  /** By what decides what a rank enqueues. */
  private readonly known = new Map<string, ReadonlyMap<number, ScanEntries>>();
  private numScans = 0;

  /** `add` is told of each place and what was enqueued before it. */
  constructor(
    private readonly recorderOf: () => Recorder,
    private readonly ranks: readonly number[],
    private readonly add: (before: readonly ScheduleEntry[], part: ScanPart) => void,
  ) {}

  /** The strategy, whose scans become places. */
  watch(strategy: Strategy): Strategy {
    return {
      ...strategy,
      start: (local, group, direction, options) => {
        const scan = ++this.numScans;
        const before = this.recorderOf().take();
        const pending = strategy.start(local, group, direction, options);
        this.recorderOf().take();
        const byRank = this.entriesOf(strategy, local, group, direction, options);
        const part = { kind: 'scan', scan, byRank } as const;
        this.add(before, { ...part, phase: 'start' });
        return {
          wait: () => {
            const between = this.recorderOf().take();
            const incoming = pending.wait();
            this.recorderOf().take();
            this.add(between, { ...part, phase: 'wait' });
            return incoming;
          },
        };
      },
    };
  }

  private entriesOf(
    strategy: Strategy,
    local: Segment,
    group: Communicator,
    direction: Direction,
    options: StrategyOptions,
  ): ReadonlyMap<number, ScanEntries> {
    const key = JSON.stringify([strategy.name, direction, options, local], shapesOf);
    let byRank = this.known.get(key);
    if (byRank === undefined) {
      const { stream, size, chain } = group;
      const groupOf = (rank: number) => shapeGroup(stream, { rank, size, isMapped: chain !== undefined });
      const all = recordRanks(this.ranks, { strategy, size, direction }, (rank) =>
        this.run(strategy, local, groupOf(rank), direction, options),
      );
      byRank = new Map(this.ranks.map((rank, i) => [rank, all[i]!]));
      this.known.set(key, byRank);
    }
    return byRank;
  }

  private run(
    strategy: Strategy,
    local: Segment,
    group: Communicator,
    direction: Direction,
    options: StrategyOptions,
  ): ScanEntries {
    const { device } = local.state;
    return device.scope(() => {
      const pending = strategy.start(local, group, direction, options);
      const start = this.recorderOf().take();
      pending.wait();
      return { start, wait: this.recorderOf().take() };
    });
  }
}

function shapesOf(_key: string, value: unknown): unknown {
  return value instanceof Tensor ? [value.shape, value.dtype] : value;
}
