import type { Device } from './device.js';
import { LongscanError } from './errors.js';
import type { OpTime } from './native.js';
import { type OpProfile, readTrace, type StreamTrace } from './stream-trace.js';

/** A point on a stream that other streams can wait for. */
export interface Event {
  readonly stream: Stream;
  readonly ticket: number;
}

/** Recorded work of a stream. */
export interface Graph {
  /**
   * Enqueues all of it, and between its sections what they were recorded with (see `Stream.between`). False: memory was
   * short, the graph's went to others, and nothing is enqueued.
   */
  launch(): boolean;
  /** Gives its memory back, once what was launched has run. */
  release(): void;
}

/** A graph while it is recorded. */
export interface Recording {
  readonly stream: Stream;
  readonly graph: number;
  /** What runs after each of the sections but the last. */
  readonly between: (() => void)[];
}

/**
 * An in-order queue of work served by one native thread, which on a GPU launches it there. Everything enqueues and returns
 * at once.
 */
export class Stream {
  /** The trace that has begun here and not ended. */
  private traced: { readonly ops: boolean; readonly maxSpans: number } | null = null;

  constructor(
    readonly device: Device,
    readonly id: number,
    readonly name: string,
  ) {}

  /** The point after everything enqueued so far. */
  record(): Event {
    return { stream: this, ticket: this.device.native.streamRecord(this.id) };
  }

  /** Work enqueued from now on starts after the event. Orders the streams; the host does not wait. */
  wait(event: Event): void {
    if (event.stream === this) return;
    this.device.native.streamWait(this.id, event.stream.id, event.ticket);
  }

  /**
   * Resolves when everything enqueued so far has run.
   * @throws LongscanError: the first failure on this device.
   */
  async sync(): Promise<void> {
    await this.device.native.streamSync(this.id);
  }

  /**
   * Takes the time from here to where the returned function is called, both in stream order: milliseconds, on a GPU by its
   * own clock.
   */
  stopwatch(): () => Promise<number> {
    const { native } = this.device;
    const watch = native.stopwatchStart(this.id);
    return async () => new Float64Array(await native.stopwatchStop(this.id, watch))[0]!;
  }

  /**
   * Records what `body` enqueues, without running it, so that it can be launched again and again by one call. Only on a GPU,
   * and only work that stays there: no writes, read-backs, syncs, gates or times, on no stream of the device. Other streams of it
   * and who waits for whom are recorded too: work of theirs is enqueued anew by each launch, and events of `body` are for `body`
   * alone. Events from before are waited for by each launch. Kernels must have run before, since loading one is no such work.
   * Memory of tensors that `body` made and released stays the graph's until others want it and there is no more. The graph may be
   * launched as long as all other tensors that `body` used are there.
   *
   * @throws LongscanError E-CUDA-GRAPH: no GPU, or `body` asks for what no graph can hold; TypeError: `body` is asynchronous; and
   *   what `body` throws. Nothing has run then.
   */
  capture(body: () => void): Graph {
    if (this.device.kind !== 'cuda') throw this.refusal(`a graph on a ${this.device.kind} device`, 'a GPU');
    const { device } = this;
    const { native } = device;
    const recording: Recording = { stream: this, graph: native.graphBegin(this.id), between: [] };
    const release = () => native.graphRelease(this.id, recording.graph);
    device.recording = recording;
    try {
      const result: unknown = body();
      if (result instanceof Promise)
        throw new TypeError('a recording cannot be asynchronous: await outside of it');
    } catch (error) {
      native.graphEnd(this.id, recording.graph);
      release();
      throw error;
    } finally {
      device.recording = null;
    }
    native.graphEnd(this.id, recording.graph);
    return { launch: () => this.launch(recording), release };
  }

  private launch({ graph, between }: Recording): boolean {
    const { native } = this.device;
    if (!native.graphIsWhole(this.id, graph)) return false;
    for (let section = 0; section <= between.length; section++) {
      native.graphLaunch(this.id, graph, section);
      between[section]?.();
    }
    return true;
  }

  /**
   * Runs `action`, which may do what no graph can hold; where one is recorded, on this or another stream of the device, at each of
   * its launches instead.
   */
  between(action: () => void): void {
    const { native, recording } = this.device;
    if (recording === null) {
      action();
      return;
    }
    native.graphSplit(recording.stream.id, recording.graph);
    recording.between.push(action);
  }

  private refusal(found: string, expected: string): LongscanError {
    return new LongscanError({
      code: 'E-CUDA-GRAPH',
      where: `stream "${this.name}"`,
      found,
      expected,
      fix: 'enqueue without a graph there',
    });
  }

  /** What the work done so far took, by native function. */
  opTimes(): Readonly<Record<string, OpTime>> {
    return this.device.native.streamOpTimes(this.id);
  }

  /**
   * Takes the times of what the stream does from here to where the returned function is called, both in stream order and
   * outside of a graph's recording: of every op, or without `ops` only of waits for streams of communication. On a GPU each
   * takes two events more, read once the GPU is past them.
   *
   * @param options.maxSpans So many single spans are kept; sums are of all.
   * @throws LongscanError E-TRACE: a trace or profile of this stream has not ended yet.
   */
  trace({ ops = true, maxSpans = 0 } = {}): () => Promise<StreamTrace> {
    if (this.traced !== null) {
      throw new LongscanError({
        code: 'E-TRACE',
        where: `stream "${this.name}"`,
        found: 'a second trace or profile before the first has ended',
        fix: 'call what the first one returned before that',
      });
    }
    const { native } = this.device;
    const trace = native.traceBegin(this.id, ops, maxSpans);
    this.traced = { ops, maxSpans };
    return async () => {
      const ended = native.traceEnd(this.id, trace);
      this.traced = null;
      await ended;
      return readTrace(native.traceResult(trace));
    };
  }

  /** Whether the time of every op is being taken. */
  get isProfiled(): boolean {
    return this.traced?.ops ?? false;
  }

  /** Names this point in the stream's trace, if there is one that keeps spans. */
  mark(name: string): void {
    if (this.traced !== null && this.traced.maxSpans > 0) this.device.native.traceMark(this.id, name);
  }

  /** Times every op from here to where the returned function is called, by native function; see `trace`. */
  profile(): () => Promise<OpProfile> {
    const end = this.trace();
    return async () => {
      const { lengthUs, ops } = await end();
      return { wholeMs: lengthUs / 1000, ops };
    };
  }

  /** True when nothing is queued or running. */
  isIdle(): boolean {
    return this.device.native.streamProgress(this.id);
  }

  /**
   * For tests and benchmarks: holds the stream at this point until the returned function is called. Memory that runs out meanwhile
   * is E-MEMORY at once: what the stream is to give back is not waited for.
   */
  closeGate(): () => void {
    const gate = this.device.native.gateClose(this.id);
    return () => this.device.native.gateOpen(gate);
  }
}
