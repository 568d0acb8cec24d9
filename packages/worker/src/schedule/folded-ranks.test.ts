import { test } from 'uvu';
import * as assert from 'uvu/assert';
import allGather from '../sp/all-gather.js';
import doublingScan from '../sp/doubling-scan.js';
import { recordRanks } from './folded-ranks.js';
import { recordStrategyScan, type ScannedState } from './record-scan.js';
import type { OpEntry, Schedule, ScheduleEntry } from './schedule.js';

const state = (kind: ScannedState['kind'], transitionBytes: number): ScannedState => ({
  ...{ kind, stateBytes: 4 * 4 * 64 * 64, stateRows: 256, numHeads: 4, transitionBytes },
});

/** Each call by itself, as it is recorded. */
const unfold = (entries: readonly ScheduleEntry[]): ScheduleEntry[] =>
  entries.flatMap((entry): ScheduleEntry[] => {
    if (entry.kind !== 'op') return [entry];
    const { times = 1, ...call } = entry;
    return Array.from({ length: times }, () => call);
  });
const unfolded = (schedules: readonly Schedule[]) =>
  schedules.map(({ streams, entries }) => ({ streams, entries: unfold(entries) }));

for (const size of [1, 2, 4, 5, 12]) {
  test(`folds ~> what each of ${size} ranks records by itself, both ways, of every kind of M, unit by unit too`, () => {
    for (const direction of ['forward', 'reverse'] as const) {
      for (const scanned of [
        state('identity', 0),
        state('diagonal', 1024),
        state('dense', 4 * 4 * 64 * 64),
      ]) {
        for (const units of [1, 2]) {
          const of = (strategy: Parameters<typeof recordStrategyScan>[0]) =>
            recordStrategyScan(strategy, scanned, size, { blocks: 1 }, { direction, units });
          const { folds: _, ...oneByOne } = allGather;
          assert.equal(
            unfolded(of(allGather)),
            of(oneByOne),
            `${direction}, ${scanned.kind}, ${units} units`,
          );
        }
      }
    }
  });
}

test('folds ~> thousands of ranks by four of them', () => {
  let numRecorded = 0;
  const counted: typeof allGather = {
    ...allGather,
    start(...args) {
      numRecorded++;
      return allGather.start(...args);
    },
  };
  const schedules = recordStrategyScan(counted, state('diagonal', 1024), 4096, { blocks: 1 });
  assert.is(numRecorded, 4);
  const applied = (rank: number) =>
    schedules[rank]!.entries.reduce(
      (sum, entry) =>
        sum + (entry.kind === 'op' && entry.name === 'transitionApply' ? (entry.times ?? 1) : 0),
      0,
    );
  assert.equal([0, 1, 2, 3, 4, 4095].map(applied), [0, 0, 1, 2, 3, 4094]);
});

test('a strategy that does not fold ~> every rank by itself; one that only says so ~> an error', () => {
  let numRecorded = 0;
  const op: OpEntry = { kind: 'op', stream: 1, name: 'work', bytes: 8, flops: 0 };
  const record = (entriesOf: (rank: number) => readonly ScheduleEntry[]) => (rank: number) => {
    numRecorded++;
    return { entries: entriesOf(rank) };
  };
  const ranks = [0, 1, 2, 3, 4, 5];
  const scan = { size: 6, direction: 'forward' } as const;
  recordRanks(
    ranks,
    { ...scan, strategy: {} },
    record(() => [op]),
  );
  assert.is(numRecorded, 6);
  const folds = { ...scan, strategy: { folds: true } } as const;
  for (const wrong of [
    (rank: number) => [{ ...op, bytes: rank }],
    (rank: number) => Array.from({ length: rank }, (_, i) => ({ ...op, name: `op ${i}` })),
    (rank: number): ScheduleEntry[] => [
      ...Array.from({ length: rank }, () => op),
      { kind: 'record', stream: 1, event: 0 },
      ...Array.from({ length: rank }, () => op),
    ],
  ])
    assert.throws(() => recordRanks(ranks, folds, record(wrong)), /differ by more than how often/);
  assert.throws(
    () => recordStrategyScan({ ...doublingScan, folds: true }, state('diagonal', 1024), 8, { blocks: 1 }),
    /differ by more than how often/,
  );
});

test.run();
