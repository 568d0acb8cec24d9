import type { Direction, Strategy } from '../strategy.js';
import type { ScheduleEntry } from './schedule.js';

/** Places in a scan of the two recorded ranks that stand for those behind them. */
const [second, third] = [2, 3] as const;

/** Which ranks of a scan to record, and what the others enqueue by those. */
export interface ScanOfRanks {
  readonly strategy: Pick<Strategy, 'folds'>;
  readonly size: number;
  readonly direction: Direction;
}

/** What a rank enqueues, part by part. */
type Parts<Name extends string> = Readonly<Record<Name, readonly ScheduleEntry[]>>;

/**
 * What each of these ranks enqueues in a scan, in their order. `record` runs one rank; under a strategy that folds it is called for
 * four of them at most, however many there are.
 */
export function recordRanks<Name extends string>(
  ranks: readonly number[],
  { strategy, size, direction }: ScanOfRanks,
  record: (rank: number) => Parts<Name>,
): Parts<Name>[] {
  const known = new Map<number, Parts<Name>>();
  const mirrored = (rank: number) => (direction === 'forward' ? rank : size - 1 - rank);
  const at = (position: number) => {
    const parts = known.get(position) ?? record(mirrored(position));
    known.set(position, parts);
    return parts;
  };
  return ranks.map((rank) => {
    const position = mirrored(rank);
    if (strategy.folds !== true || position <= third) return at(position);
    const [before, after] = [at(second), at(third)];
    const names = Object.keys(before) as Name[];
    return Object.fromEntries(
      names.map((name) => [name, further(before[name], after[name], position - second)]),
    ) as Parts<Name>;
  });
}

interface Run {
  readonly entry: ScheduleEntry;
  readonly times: number;
}

/** The entries of a rank so many places behind one with `before`, whose next one has `after`. */
function further(
  before: readonly ScheduleEntry[],
  after: readonly ScheduleEntry[],
  distance: number,
): readonly ScheduleEntry[] {
  const [runs, longer] = [runsOf(before), runsOf(after)];
  const isAlike =
    runs.length === longer.length && runs.every((run, i) => isSame(run.entry, longer[i]!.entry));
  const more = runs.map(({ times }, i) => (longer[i]?.times ?? 0) - times);
  const at = more.findIndex((times) => times !== 0);
  if (isAlike && at === -1) return before;
  const { entry, times } = runs[at] ?? {};
  if (!isAlike || entry?.kind !== 'op' || more.some((count, i) => count !== 0 && i !== at))
    throw new TypeError('a strategy that folds, and whose ranks differ by more than how often');
  return runs.flatMap((run, i) => {
    if (i !== at) return Array.from({ length: run.times }, () => run.entry);
    return [{ ...entry, times: times! + distance * more[at]! }];
  });
}

/** Ops of one kind that follow each other, together. */
function runsOf(entries: readonly ScheduleEntry[]): Run[] {
  const runs: Run[] = [];
  for (const entry of entries) {
    const last = runs.at(-1);
    if (last !== undefined && entry.kind === 'op' && isSame(entry, last.entry))
      runs[runs.length - 1] = { entry, times: last.times + 1 };
    else runs.push({ entry, times: 1 });
  }
  return runs;
}

function isSame(a: ScheduleEntry, b: ScheduleEntry): boolean {
  if (a.kind !== b.kind) return false;
  // Each recording has numbers of its own for its events.
  if (a.kind === 'record' || a.kind === 'wait') return a.stream === b.stream;
  return JSON.stringify(a) === JSON.stringify(b);
}
