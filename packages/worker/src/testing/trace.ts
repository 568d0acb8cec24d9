import { readFileSync } from 'node:fs';
import * as assert from 'uvu/assert';
import type { ChromeEvent } from '../trace/chrome-events.js';

/** A span of a trace, with the name of its thread. */
export interface Span {
  readonly rank: number;
  readonly thread: string;
  readonly step: number;
  readonly name: string;
  readonly cat: string;
  readonly beginUs: number;
  readonly endUs: number;
  readonly args: Readonly<Record<string, unknown>>;
}

export interface CheckedTrace {
  readonly spans: readonly Span[];
  readonly numArrows: number;
  /** What was not kept. */
  readonly dropped: readonly string[];
}

/** Reads the trace of one rank or of several and checks that it is one: what must hold of any of them. */
export function readTraceFile(path: string): CheckedTrace {
  const { traceEvents } = JSON.parse(readFileSync(path, 'utf8')) as { traceEvents: readonly ChromeEvent[] };
  const threads = new Map(
    traceEvents
      .filter(({ name }) => name === 'thread_name')
      .map(({ pid, tid, args }) => [`${pid}/${tid}`, `${args!.name}`]),
  );
  const times = traceEvents.flatMap(({ ph, ts }) => (ph === 'M' ? [] : [ts!]));
  assert.ok(times.every((ts, i) => Number.isFinite(ts) && (i === 0 || times[i - 1]! <= ts)));
  const spans = traceEvents
    .filter(({ ph }) => ph === 'X')
    .map(({ pid, tid, name, cat, ts, dur, args }): Span => {
      assert.ok(dur! >= 0, `${name} lasts ${dur}`);
      const thread = threads.get(`${pid}/${tid}`);
      assert.type(thread, 'string', `thread ${tid} of rank ${pid} has no name`);
      const step = args!.step as number;
      // To nanoseconds, as they were written.
      const [beginUs, endUs] = [ts!, Math.round(1000 * (ts! + dur!)) / 1000];
      return { rank: pid, thread: thread!, step, name, cat: cat!, beginUs, endUs, args: args! };
    });
  checkOrder(spans);
  return {
    spans,
    numArrows: checkArrows(traceEvents),
    dropped: traceEvents.filter(({ cat }) => cat === 'dropped').map(({ name }) => name),
  };
}

/** Spans of a thread follow one another; only a step has others in it, its phases. */
function checkOrder(spans: readonly Span[]): void {
  const last = new Map<string, Span>();
  const steps = spans.filter(({ name, step }) => name === `step ${step}`);
  for (const span of spans.filter((one) => !steps.includes(one))) {
    const key = `${span.rank}/${span.thread}`;
    const before = last.get(key);
    const shown = `${key}: ${before?.name} to ${before?.endUs}, ${span.name} from ${span.beginUs}`;
    assert.ok(before === undefined || before.endUs <= span.beginUs, shown);
    last.set(key, span);
    if (!['phase', 'op', 'wait'].includes(span.cat) || !['step', 'compute'].includes(span.thread)) continue;
    const step = steps.find((one) => one.rank === span.rank && one.step === span.step);
    assert.ok(step!.beginUs <= span.beginUs && span.endUs <= step!.endUs, `${shown}: outside of its step`);
  }
}

/** Every arrow has both ends, in order, each on a span of its thread. */
function checkArrows(events: readonly ChromeEvent[]): number {
  const spans = events.filter(({ ph }) => ph === 'X');
  const isOnSpan = ({ pid, tid, ts }: ChromeEvent) =>
    spans.some((one) => one.pid === pid && one.tid === tid && one.ts! <= ts! && ts! <= one.ts! + one.dur!);
  const begins = events.filter(({ ph }) => ph === 's');
  const ends = new Map(events.filter(({ ph }) => ph === 'f').map((event) => [event.id!, event]));
  assert.is(begins.length, ends.size);
  for (const begin of begins) {
    const end = ends.get(begin.id!)!;
    assert.ok(begin.ts! <= end.ts! && isOnSpan(begin) && isOnSpan(end), `arrow ${begin.id}`);
  }
  return begins.length;
}

/** For how long the compute stream of a rank stood still for sequence-parallel communication in a step, by its spans. */
export function exposedMsOf({ spans }: CheckedTrace, rank: number, step: number, group = 'sp'): number {
  const waits = spans.filter(
    (span) =>
      span.rank === rank &&
      span.step === step &&
      span.thread === 'compute' &&
      `${span.args.waitsFor}`.startsWith(group),
  );
  return waits.reduce((sum, { beginUs, endUs }) => sum + (endUs - beginUs) / 1000, 0);
}
