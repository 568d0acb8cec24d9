import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LongscanError } from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { mergeTraces } from './merge-traces.js';

interface Event {
  readonly ph: string;
  readonly pid: number;
  readonly ts?: number;
}

async function withRun(numRanks: number | null, body: (runDir: string) => Promise<void>): Promise<void> {
  const runDir = mkdtempSync(join(tmpdir(), 'longscan-traces-test-'));
  try {
    if (numRanks !== null) writeFileSync(join(runDir, 'plan.json'), JSON.stringify({ mesh: { numRanks } }));
    await body(runDir);
  } finally {
    rmSync(runDir, { recursive: true, force: true });
  }
}

interface TraceParts {
  readonly host?: string;
  readonly bootId?: string;
  readonly wallMinusMonotonicUs?: number;
  readonly times: readonly number[];
}

/** A rank's trace as a rank writes it. */
function traceText(
  rank: number,
  { host = 'here', bootId = 'a', wallMinusMonotonicUs = 1e15, times }: TraceParts,
) {
  const header = { version: 1, rank, host, bootId, wallMinusMonotonicUs };
  const events: Event[] = [
    { ph: 'M', pid: rank },
    ...times.map((ts) => ({ ph: 'X', name: `op of ${rank}`, pid: rank, tid: 3, ts, dur: 1 })),
  ];
  const lines = events.map((event) => JSON.stringify(event)).join(',\n');
  return `{"displayTimeUnit":"ms","otherData":${JSON.stringify(header)},"traceEvents":[\n${lines}\n]}\n`;
}

function writeTrace(runDir: string, rank: number, text: string): void {
  mkdirSync(join(runDir, 'traces'), { recursive: true });
  writeFileSync(join(runDir, 'traces', `rank-${rank}.json`), text);
}

/** Rank and time of every event with a time, in the file's order; names stand in front of them. */
function readMerged(path: string) {
  const { traceEvents, otherData } = JSON.parse(readFileSync(path, 'utf8')) as {
    traceEvents: Event[];
    otherData: { ranks: number[]; notes: string[] };
  };
  const numNames = traceEvents.filter(({ ph }) => ph === 'M').length;
  assert.ok(traceEvents.slice(0, numNames).every(({ ph }) => ph === 'M'));
  return { events: traceEvents.slice(numNames).map(({ pid, ts }) => [pid, ts!]), numNames, otherData };
}

test('a run without traces ~> null, and nothing is written', () =>
  withRun(2, async (runDir) => {
    assert.is(await mergeTraces(runDir), null);
    assert.equal(readdirSync(runDir), ['plan.json']);
  }));

test('ranks ~> one file in the order of time', () =>
  withRun(3, async (runDir) => {
    writeTrace(runDir, 0, traceText(0, { times: [10, 20, 20, 90] }));
    writeTrace(runDir, 1, traceText(1, { times: [5, 20, 95.125] }));
    writeTrace(runDir, 2, traceText(2, { times: [] }));
    // Of an earlier launch with more ranks.
    writeTrace(runDir, 3, traceText(3, { times: [1] }));
    const merged = await mergeTraces(runDir);
    assert.equal(merged, { path: join(runDir, 'trace.json'), ranks: [0, 1, 2], notes: [] });
    const { events, numNames, otherData } = readMerged(merged!.path);
    assert.is(numNames, 3);
    assert.equal(otherData, { ranks: [0, 1, 2], notes: [] });
    assert.equal(events, [
      [1, 5],
      [0, 10],
      [0, 20],
      [0, 20],
      [1, 20],
      [0, 90],
      [1, 95.125],
    ]);
    assert.equal(readdirSync(runDir).sort(), ['plan.json', 'trace.json', 'traces']);
    // Again, over the first.
    assert.equal(await mergeTraces(runDir), merged);
  }));

test('without a plan ~> the ranks that are there', () =>
  withRun(null, async (runDir) => {
    for (const rank of [10, 2]) writeTrace(runDir, rank, traceText(rank, { times: [rank] }));
    assert.equal((await mergeTraces(runDir))!.ranks, [2, 10]);
  }));

test('what cannot be read is not told as what cannot be written', () =>
  withRun(null, async (runDir) => {
    writeFileSync(join(runDir, 'traces'), '');
    const refusal = () =>
      mergeTraces(runDir).then(
        () => null,
        (error) => error,
      );
    const error = await refusal();
    assert.is(error?.code, 'E-TRACE');
    assert.match(error.message, /traces: it cannot be read/);
    writeFileSync(join(runDir, 'plan.json'), '{');
    assert.match((await refusal()).message, /E-TRACE.*plan\.json: it cannot be read/);
  }));

const whole = traceText(1, { times: [5, 15, 25] });
for (const [what, text, times, note] of [
  ['missing', null, [], /rank 1: cannot be read \(ENOENT\) \(.*rank-1\.json\)/],
  ['empty', '', [], /rank 1: "" is not how a rank's trace begins/],
  ['not a trace', '{"otherData":{"rank":1}}\n', [], /rank 1: .* is not how a rank's trace begins/],
  [
    'of another version',
    whole.replace('"version":1', '"version":2'),
    [],
    /rank 1: version 2, of which this longscan reads 1 \(.*rank-1\.json, line 1\)/,
  ],
  ['cut off between two lines', whole.split('\n').slice(0, 4).join('\n'), [5, 15], /line 5/],
  ['cut off in a line', whole.slice(0, whole.indexOf('25,"dur"')), [5, 15], /line 5/],
  [
    'cut off before its end',
    whole.slice(0, whole.lastIndexOf(']}')),
    [5, 15, 25],
    /the file is cut off .*line 6/,
  ],
  [
    'with a line of garbage',
    whole.replace('"ts":15', '"ts":"soon"'),
    [5],
    /"ts\\":\\"soon.* is not an event .*line 4/,
  ],
] as const) {
  test(`a rank's file ${what} ~> noted, the rest is merged`, () =>
    withRun(2, async (runDir) => {
      writeTrace(runDir, 0, traceText(0, { times: [10, 30] }));
      if (text !== null) writeTrace(runDir, 1, text);
      const merged = (await mergeTraces(runDir))!;
      assert.is(merged.notes.length, 1);
      assert.match(merged.notes[0]!, note);
      const { events, otherData } = readMerged(merged.path);
      assert.equal(otherData.notes, merged.notes);
      const of = (rank: number) => events.filter(([pid]) => pid === rank).map(([, ts]) => ts);
      assert.equal(of(0), [10, 30]);
      assert.equal(of(1), times);
    }));
}

test('no file can be read ~> E-TRACE with what is wrong with each', () =>
  withRun(2, async (runDir) => {
    writeTrace(runDir, 1, '[]');
    const error = await mergeTraces(runDir).then(
      () => null,
      (reason: LongscanError) => reason,
    );
    assert.match(error!.message, /error\[E-TRACE\].*rank 0: cannot be read.*rank 1: "\[\]" is not how/);
    assert.is(error!.exitCode, 4);
  }));

test('ranks of two hosts ~> on one clock, and a note says how good it is', () =>
  withRun(3, async (runDir) => {
    writeTrace(runDir, 0, traceText(0, { times: [1000, 1003] }));
    // The second host started 500 microseconds later, so its clock shows less at the same time.
    const other = { host: 'there', bootId: 'b', wallMinusMonotonicUs: 1e15 + 500 };
    for (const rank of [1, 2]) writeTrace(runDir, rank, traceText(rank, { ...other, times: [500 + rank] }));
    const { path, notes } = (await mergeTraces(runDir))!;
    assert.is(notes.length, 1);
    assert.match(notes[0]!, /there and here have clocks of their own/);
    assert.equal(readMerged(path).events, [
      [0, 1000],
      [1, 1001],
      [2, 1002],
      [0, 1003],
    ]);
  }));

test.run();
