import type { StreamTrace, TraceSpan } from '@longscan/kernels';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ChromeEvents, nameEvents } from './chrome-events.js';
import type { TracedStep } from './step-tracer.js';

const plain = { waitsFor: null, collective: null };

function traceOf(beginUs: number, lengthUs: number, parts: Partial<StreamTrace>): StreamTrace {
  return { beginUs, lengthUs, ops: {}, waitsMs: {}, spans: [], marks: [], numDropped: 0, ...parts };
}

/** Compute waits for the second of two collectives of the other stream. */
const step: TracedStep = {
  number: 7,
  host: [{ name: 'data', beginUs: 990, endUs: 995 }],
  streams: [
    {
      id: 1,
      name: 'compute',
      trace: traceOf(1000, 100, {
        marks: [
          { name: 'forward', us: 1 },
          { name: 'backward', us: 60 },
        ],
        spans: [
          { ...plain, op: 'linearForward', beginUs: 2, endUs: 10, ticket: 4 },
          {
            ...plain,
            op: 'streamWait',
            beginUs: 10,
            endUs: 40,
            ticket: 5,
            waitsFor: { stream: 2, ticket: 9 },
          },
          {
            ...plain,
            op: 'streamWait',
            beginUs: 50,
            endUs: 51,
            ticket: 6,
            waitsFor: { stream: 3, ticket: 1 },
          },
        ],
      }),
    },
    {
      id: 2,
      name: 'sp-0',
      trace: traceOf(1001, 90, {
        spans: [
          message({ beginUs: 0, endUs: 5, ticket: 6 }, 41, 0),
          message({ beginUs: 20, endUs: 38, ticket: 8 }, 42, 640),
          message({ beginUs: 70, endUs: 80, ticket: 10 }, 43, 0),
        ],
        numDropped: 12,
      }),
    },
  ],
};

function message(
  times: Pick<TraceSpan, 'beginUs' | 'endUs' | 'ticket'>,
  number: number,
  bytesSent: number,
): TraceSpan {
  return { op: 'commAllGather', waitsFor: null, ...times, collective: { number, bytesSent } };
}

const events = new ChromeEvents(3).ofStep(step);

test('spans ~> complete events on the common clock', () => {
  const spans = events.filter(({ ph }) => ph === 'X');
  assert.equal(
    spans.map(({ tid, name, ts, dur }) => [tid, name, ts, dur]),
    [
      [1, 'data', 990, 5],
      [2, 'step 7', 1000, 100],
      [2, 'forward', 1001, 59],
      [2, 'backward', 1060, 40],
      [3, 'linearForward', 1002, 8],
      [3, 'wait for sp-0', 1010, 30],
      [3, 'wait for another stream', 1050, 1],
      [4, 'allGather #41', 1001, 5],
      [4, 'allGather #42', 1021, 18],
      [4, 'allGather #43', 1071, 10],
    ],
  );
  assert.ok(events.every(({ pid }) => pid === 3));
  assert.ok(spans.every(({ args }) => args!.step === 7));
  assert.equal(spans.at(-2)!.args, { step: 7, verb: 'allGather', number: 42, bytesSent: 640 });
});

test('a wait ~> an arrow from the newest work that it waits for', () => {
  const [begin, end, ...more] = events.filter(({ ph }) => ph === 's' || ph === 'f');
  assert.equal(more, []);
  assert.is(begin!.id, end!.id);
  assert.equal([begin!.ph, begin!.tid, begin!.ts], ['s', 4, 1021]);
  // On the wait's span, and not before the arrow's begin.
  assert.equal([end!.ph, end!.tid, end!.ts, end!.bp], ['f', 3, 1021, 'e']);
});

test('what was dropped ~> a point of the process that says how much', () => {
  const points = events.filter(({ ph }) => ph === 'i');
  assert.equal(
    points.map(({ name, args }) => [name, args!.numDropped]),
    [['12 events of sp-0 were dropped', 12]],
  );
});

test('times are whole nanoseconds, and spans that touch do not overlap', () => {
  const third = 1 / 3;
  const spans = [
    { ...plain, op: 'a', beginUs: third, endUs: 2 * third, ticket: 1 },
    { ...plain, op: 'b', beginUs: 2 * third, endUs: 3 * third, ticket: 2 },
  ];
  const trace = traceOf(40_564_655_380.7294, 1, { spans });
  const made = new ChromeEvents(0).ofStep({
    number: 1,
    host: [],
    streams: [{ id: 1, name: 'compute', trace }],
  });
  const [a, b] = made.filter(({ cat }) => cat === 'op');
  for (const value of [a!.ts, a!.dur!, b!.ts, b!.dur!]) assert.match(`${value}`, /^\d+(\.\d{1,3})?$/);
  assert.ok(Math.round(1000 * (a!.ts + a!.dur!)) <= Math.round(1000 * b!.ts));
});

test('a rank and its threads have names, in order', () => {
  const names = nameEvents(3, 'here', ['compute', 'world']);
  assert.is(names[0]!.args!.name, 'rank 3 on here');
  const threads = names.filter(({ name }) => name === 'thread_name');
  assert.equal(
    threads.map(({ tid, args }) => [tid, args!.name]),
    [
      [1, 'host'],
      [2, 'step'],
      [3, 'compute'],
      [4, 'world'],
    ],
  );
});

test.run();
