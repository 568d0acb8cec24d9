import { test } from 'uvu';
import * as assert from 'uvu/assert';
import allGather from '../sp/all-gather.js';
import doublingScan from '../sp/doubling-scan.js';
import { recordRanks } from './folded-ranks.js';
import { recordStrategyScan, type ScannedState } from './record-scan.js';
import type { OpEntry, ScheduleEntry } from './schedule.js';

const state = (kind: ScannedState['kind'], transitionBytes: number): ScannedState => ({
  ...{ kind, stateBytes: 4 * 4 * 64 * 64, stateRows: 256, numHeads: 4, transitionBytes },
});

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
