import type { Device } from './device.js';
import { LongscanError } from './errors.js';
import type { OpProfile, OpTime } from './native.js';

/** A point on a stream that other streams can wait for. */
export interface Event {
  readonly stream: Stream;
  readonly ticket: number;
}

/** Recorded work of a stream. */
export interface Graph {
  /** Enqueues all of it. */
  launch(): void;
  /** Gives its memory back, once what was launched has run. */
  release(): void;
}

/**
 * An in-order queue of work served by one native thread, which on a GPU launches it there. Everything enqueues and returns
 * at once.
 */
export class Stream {
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
   * Records what `body` enqueues here, without running it, so that it can be launched again and again as one piece. Only
   * on a GPU, and only work that stays there: no writes, read-backs or events. Kernels must have run before, since
   * loading one is no such work. Tensors that `body` made and released stay the graph's memory.
   */
  capture(body: () => void): Graph {
    if (this.device.kind !== 'cuda') {
      throw new LongscanError({
        code: 'E-CUDA-GRAPH',
        where: `stream "${this.name}"`,
        found: `a graph on a ${this.device.kind} device`,
        expected: 'a GPU',
      });
    }
    const { native } = this.device;
    const graph = native.graphBegin(this.id);
    try {
      body();
    } finally {
      native.graphEnd(this.id, graph);
    }
    return {
      launch: () => native.graphLaunch(this.id, graph),
      release: () => native.graphRelease(this.id, graph),
    };
  }

  /** How long other streams have stood still for this one so far: on a communication stream, what was not hidden. */
  waitedMs(): number {
    return this.device.native.streamWaitedMs(this.id);
  }

  /** What the work done so far took, by native function. */
  opTimes(): Readonly<Record<string, OpTime>> {
    return this.device.native.streamOpTimes(this.id);
  }

  /**
   * Times every op from here to where the returned function is called, both in stream order. On a GPU each takes two more
   * events, and none of them may be recorded into a graph.
   */
  profile(): () => Promise<OpProfile> {
    const { native } = this.device;
    const profile = native.profileBegin(this.id);
    return async () => {
      await native.profileEnd(this.id, profile);
      return native.profileTimes(profile);
    };
  }

  /** True when nothing is queued or running. */
  isIdle(): boolean {
    return this.device.native.streamProgress(this.id);
  }

  /** Test only: holds the stream at this point until the returned function is called. */
  closeGate(): () => void {
    const gate = this.device.native.gateClose(this.id);
    return () => this.device.native.gateOpen(gate);
  }
}
