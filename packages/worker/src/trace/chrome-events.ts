import type { TraceSpan } from '@longscan/kernels';
import type { TracedStep, TracedStream } from './step-tracer.js';

/**
 * An event of Chrome's trace format, which Perfetto reads: https://ui.perfetto.dev. Times are microseconds.
 * A process stands for a rank and a thread for one of its streams.
 */
export interface ChromeEvent {
  /** X: a span; s and f: where an arrow begins and ends; i: a point; M: a name. */
  readonly ph: 'X' | 's' | 'f' | 'i' | 'M';
  readonly name: string;
  readonly cat?: string;
  readonly pid: number;
  readonly tid?: number;
  readonly ts?: number;
  readonly dur?: number;
  readonly id?: number;
  /** An arrow ends at the span around it, not at the next one. */
  readonly bp?: 'e';
  /** A point of the whole process. */
  readonly s?: 'p';
  readonly args?: Readonly<Record<string, unknown>>;
}

/** An event with a time. */
export type TimedEvent = ChromeEvent & { readonly ts: number };

/** Threads of a rank in front of its streams: the host's main thread, and the step and its phases as compute ran them. */
const hostThread = 1;
const stepThread = 2;
const firstStreamThread = 3;

/** Names for a rank and its threads. */
export function nameEvents(rank: number, host: string, streams: readonly string[]): ChromeEvent[] {
  const threads = ['host', 'step', ...streams];
  return [
    { ph: 'M', name: 'process_name', pid: rank, args: { name: `rank ${rank} on ${host}` } },
    { ph: 'M', name: 'process_sort_index', pid: rank, args: { sort_index: rank } },
    ...threads.flatMap((name, i): ChromeEvent[] => [
      { ph: 'M', name: 'thread_name', pid: rank, tid: hostThread + i, args: { name } },
      { ph: 'M', name: 'thread_sort_index', pid: rank, tid: hostThread + i, args: { sort_index: i } },
    ]),
  ];
}

type SpanParts = Required<Pick<ChromeEvent, 'name' | 'cat' | 'tid' | 'args'>> & {
  readonly beginUs: number;
  readonly endUs: number;
};

/** Makes the events of steps, in any order; arrows are numbered through. */
export class ChromeEvents {
  private numArrows = 0;

  constructor(private readonly rank: number) {}

  ofStep({ number, host, streams }: TracedStep): TimedEvent[] {
    const step = { step: number };
    return [
      ...host.map(({ name, beginUs, endUs }) =>
        this.span({ name, cat: 'host', tid: hostThread, beginUs, endUs, args: step }),
      ),
      ...this.phases(streams[0]!, number),
      ...streams.flatMap((stream, i) => this.ofStream(stream, i, streams, number)),
    ];
  }

  /** The step on the compute stream, and in it from one mark to the next what it did. */
  private phases({ trace }: TracedStream, step: number): TimedEvent[] {
    const { beginUs, lengthUs, marks } = trace;
    const at = (us: number) => beginUs + us;
    const common = { cat: 'phase', tid: stepThread, args: { step } };
    return [
      this.span({ ...common, name: `step ${step}`, beginUs, endUs: at(lengthUs) }),
      ...marks.map(({ name, us }, i) =>
        this.span({ ...common, name, beginUs: at(us), endUs: at(marks[i + 1]?.us ?? lengthUs) }),
      ),
    ];
  }

  private ofStream(
    { trace }: TracedStream,
    index: number,
    all: readonly TracedStream[],
    step: number,
  ): TimedEvent[] {
    const tid = firstStreamThread + index;
    const { beginUs, numDropped } = trace;
    const events = trace.spans.flatMap((span) => {
      const times = { tid, beginUs: beginUs + span.beginUs, endUs: beginUs + span.endUs };
      return [this.span({ ...times, ...describe(span, all, step) }), ...this.arrowTo(span, times, all)];
    });
    if (numDropped === 0) return events;
    const dropped = `${numDropped} events of ${all[index]!.name} were dropped`;
    const args = { step, stream: all[index]!.name, numDropped };
    const ts = round(beginUs + trace.lengthUs);
    return [...events, { ph: 'i', name: dropped, cat: 'dropped', pid: this.rank, tid, ts, s: 'p', args }];
  }

  /** From the work that is waited for to the wait, where that work is in the trace of this step. */
  private arrowTo(
    { waitsFor }: TraceSpan,
    wait: { readonly tid: number; readonly beginUs: number; readonly endUs: number },
    all: readonly TracedStream[],
  ): TimedEvent[] {
    const index = waitsFor === null ? -1 : all.findIndex(({ id }) => id === waitsFor.stream);
    const awaited = all[index]?.trace;
    const source = awaited && newestUpTo(awaited.spans, waitsFor!.ticket);
    if (source === undefined) return [];
    const common = { name: 'wait', cat: 'wait', pid: this.rank, id: this.rank * 2 ** 32 + this.numArrows++ };
    const from = awaited!.beginUs + source.beginUs;
    return [
      { ...common, ph: 's', tid: firstStreamThread + index, ts: round(from) },
      { ...common, ph: 'f', bp: 'e', tid: wait.tid, ts: round(Math.max(from, wait.beginUs)) },
    ];
  }

  private span({ name, cat, tid, beginUs, endUs, args }: SpanParts): TimedEvent {
    const ts = round(beginUs);
    return { ph: 'X', name, cat, pid: this.rank, tid, ts, dur: round(round(endUs) - ts), args };
  }
}

/** Name, category and arguments of a span. */
function describe(
  { op, waitsFor, collective }: TraceSpan,
  all: readonly TracedStream[],
  step: number,
): Pick<SpanParts, 'name' | 'cat' | 'args'> {
  if (waitsFor !== null) {
    const stream = all.find(({ id }) => id === waitsFor.stream)?.name ?? 'another stream';
    return { name: `wait for ${stream}`, cat: 'wait', args: { step, waitsFor: stream } };
  }
  if (collective !== null) {
    const { number, bytesSent } = collective;
    const verb = op.charAt('comm'.length).toLowerCase() + op.slice('comm'.length + 1);
    return {
      name: `${verb} #${number}`,
      cat: 'collective',
      args: { step, verb, number, bytesSent },
    };
  }
  return { name: op, cat: 'op', args: { step } };
}

/** Of spans by rising ticket, the last one whose ticket is not above. */
function newestUpTo(spans: readonly TraceSpan[], ticket: number): TraceSpan | undefined {
  let [begin, end] = [0, spans.length];
  while (begin < end) {
    const middle = (begin + end) >> 1;
    if (spans[middle]!.ticket <= ticket) begin = middle + 1;
    else end = middle;
  }
  return spans[begin - 1];
}

/** To nanoseconds. */
const round = (us: number): number => Math.round(us * 1000) / 1000;
