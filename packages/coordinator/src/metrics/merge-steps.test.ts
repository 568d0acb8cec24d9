import type { StepMetrics, StepRow } from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { StepMerger } from './merge-steps.js';

function report(step: number, changes: Partial<StepMetrics> = {}): StepMetrics {
  return {
    type: 'step',
    step,
    loss: 2.5,
    gradNorm: 1,
    lr: 0.001,
    tokens: 1000,
    stepMs: 100,
    spExposedMs: 1,
    spBytesSentForward: 10,
    spBytesSentBackward: 20,
    peakBytes: 500,
    mfu: null,
    extra: {},
    ...changes,
  };
}

function merger(worldSize: number): {
  add: (rank: number, one: StepMetrics) => void;
  rows: StepRow[];
  merger: StepMerger;
} {
  const rows: StepRow[] = [];
  const made = new StepMerger(worldSize, 1, (row) => rows.push(row));
  return { add: (rank, one) => made.add(rank, one), rows, merger: made };
}

test('one row per step: the worst time and memory, the sum of the bytes', () => {
  const { add, rows } = merger(2);
  add(1, report(7, { stepMs: 200, spExposedMs: 5, spBytesSentForward: 0, peakBytes: 900 }));
  assert.equal(rows, []);
  add(0, report(7));
  assert.is(rows.length, 1);
  const { perRank, extra: _extra, ...row } = rows[0]!;
  assert.equal(row, {
    step: 7,
    attempt: 1,
    loss: 2.5,
    gradNorm: 1,
    finite: true,
    lr: 0.001,
    tokens: 1000,
    tokensPerSecond: 5000,
    mfu: null,
    stepMs: 200,
    spExposedMs: 5,
    spBytesSent: 50,
    peakBytes: 900,
  });
  assert.equal(
    perRank.map((one) => one?.spBytesSentForward),
    [10, 0],
  );
});

test('a loss that was not finite is null and says so', () => {
  const { add, rows } = merger(1);
  add(0, report(1, { loss: null }));
  assert.is(rows[0]?.loss, null);
  assert.is(rows[0]?.finite, false);
});

test('ranks may be steps apart, and rows come in order', () => {
  const { add, rows } = merger(2);
  add(0, report(1));
  add(0, report(2));
  add(1, report(1));
  add(1, report(2));
  assert.equal(
    rows.map((row) => row.step),
    [1, 2],
  );
});

test('a lost report leaves a gap in its row and holds up no other', () => {
  const { add, rows } = merger(2);
  add(0, report(1));
  add(0, report(2));
  add(1, report(2));
  assert.equal(
    rows.map((row) => [row.step, row.perRank[1] === null]),
    [
      [1, true],
      [2, false],
    ],
  );
});

test('what waits is bounded, and the rest comes at the end', () => {
  const { add, rows, merger: made } = merger(2);
  for (let step = 1; step <= 200; step++) add(0, report(step));
  assert.is(rows.length, 200 - 64);
  made.flush();
  assert.is(rows.length, 200);
});

test('a late report of a row that has been given out changes nothing', () => {
  const { add, rows, merger: made } = merger(2);
  add(0, report(1));
  made.flush();
  add(1, report(1));
  made.flush();
  assert.is(rows.length, 1);
});

test('what follows a step waits for its row, and comes at the end if there is none', () => {
  const { add, rows, merger: made } = merger(2);
  const done: string[] = [];
  add(0, report(1));
  made.after(1, () => done.push(`after ${rows.length}`));
  assert.equal(done, []);
  add(1, report(1));
  made.after(1, () => done.push('at once'));
  made.after(9, () => done.push('at the end'));
  made.flush();
  assert.equal(done, ['after 1', 'at once', 'at the end']);
});

test.run();
