import type { NativeTrace, OpTime } from './native.js';

/** One piece of work in a trace of its stream. */
export interface TraceSpan {
  /** Native function. */
  readonly op: string;
  /** Microseconds from the trace's begin, by the clock of what ran it. */
  readonly beginUs: number;
  readonly endUs: number;
  /** Of the work on its stream. */
  readonly ticket: number;
  /** What a wait was for: a stream's number and a ticket of it. */
  readonly waitsFor: { readonly stream: number; readonly ticket: number } | null;
  /** Its number in its communicator, from 1, and the bytes that this rank sent in it. */
  readonly collective: { readonly number: number; readonly bytesSent: number } | null;
}

/** What a stream did between two points. */
export interface StreamTrace {
  /** Where it began, in microseconds of the host's monotonic clock; of a trace that keeps spans. */
  readonly beginUs: number;
  readonly lengthUs: number;
  /** What all work took, by native function. */
  readonly ops: Readonly<Record<string, OpTime>>;
  /** How long the stream stood still for another one, by its number. */
  readonly waitsMs: Readonly<Record<number, number>>;
  /** In the stream's order: none begins before the one in front of it has ended. */
  readonly spans: readonly TraceSpan[];
  /** Points with names, in microseconds from the begin. */
  readonly marks: readonly { readonly name: string; readonly us: number }[];
  /** Spans and marks there was no room for. */
  readonly numDropped: number;
}

/** What a stream did between two points; on a GPU by its clock. What no op took the stream was idle, or read results back. */
export interface OpProfile {
  readonly wholeMs: number;
  /** By native function. */
  readonly ops: Readonly<Record<string, OpTime>>;
}

/** What the addon writes of a span (src/addon/times.cc), in its order. */
const spanFields = [
  'beginUs',
  'endUs',
  'name',
  'ticket',
  'awaitedStream',
  'awaitedTicket',
  'collective',
  'bytesSent',
] as const;

/** A trace as the addon hands it over, with its spans as objects. */
export function readTrace({ names, spans, ...rest }: NativeTrace): StreamTrace {
  const numFields = spanFields.length;
  const spanAt = (i: number): TraceSpan => {
    const at = (field: (typeof spanFields)[number]) => spans[i * numFields + spanFields.indexOf(field)]!;
    const [stream, number] = [at('awaitedStream'), at('collective')];
    return {
      op: names[at('name')]!,
      beginUs: at('beginUs'),
      endUs: at('endUs'),
      ticket: at('ticket'),
      waitsFor: stream === 0 ? null : { stream, ticket: at('awaitedTicket') },
      collective: number === 0 ? null : { number, bytesSent: at('bytesSent') },
    };
  };
  const numSpans = spans.length / numFields;
  return { ...rest, spans: Array.from({ length: numSpans }, (_, i) => spanAt(i)) };
}
