import type { Communicator, Stream, StreamTrace } from '@longscan/kernels';
import type { TraceWindow } from '../protocol/trace-window.js';
import type { Training } from '../training/training.js';

/** Single spans kept of one stream in one step; sums go on beyond. About 6 MB. */
const maxSpans = 65_536;

/** A stretch of the main thread, which enqueues what streams run; microseconds of the host's monotonic clock. */
export interface HostSpan {
  readonly name: string;
  readonly beginUs: number;
  readonly endUs: number;
}

/** What a stream of a rank did in one step. */
export interface TracedStream {
  readonly id: number;
  readonly name: string;
  readonly trace: StreamTrace;
}

/** All that a rank did in one step. */
export interface TracedStep {
  readonly number: number;
  readonly host: readonly HostSpan[];
  /** The compute stream is the first. */
  readonly streams: readonly TracedStream[];
}

export interface StepTimes {
  /** For how long the compute stream stood still for sequence-parallel communication. */
  readonly spExposedMs: number;
  /** The same for sums over all ranks, and what is gathered from them. */
  readonly gradientExposedMs: number;
  /** Null: the step is not in the window. */
  readonly traced: TracedStep | null;
}

/** One step, from the loading of its data to the end of its enqueueing. */
export interface StepTracing {
  /** The main thread begins with this, and has ended what it did before. */
  enterHost(name: string): void;
  /** Once all of the step is enqueued; resolves when it has run. */
  end(): Promise<StepTimes>;
}

/** Microseconds of the host's monotonic clock, which streams' traces are on too. */
export const monotonicUs = (): number => Number(process.hrtime.bigint()) / 1000;

/** The streams of a rank, compute first; none twice. */
export function streamsOf({ device, mesh, optimizer }: Omit<Training, 'model'>): readonly Stream[] {
  const streams = [device.compute, mesh.sp?.stream, mesh.world?.stream, optimizer.stream];
  return [...new Set(streams.filter((stream) => stream !== undefined))];
}

/**
 * Takes the times of steps: of the waits for communication in all of them, of everything in those of the window. Both come from the same events.
 */
export class StepTracer {
  constructor(
    private readonly training: Training,
    private readonly window: TraceWindow | null,
  ) {}

  /** Whether this step is in the window. */
  isTraced(number: number): boolean {
    return this.window !== null && this.window.first <= number && number <= this.window.last;
  }

  /** The next step begins; what is enqueued from here on belongs to it. */
  begin(number: number): StepTracing {
    const { device, mesh } = this.training;
    if (this.isTraced(number)) return this.beginTraced(number);
    const end = mesh.world && device.compute.trace({ ops: false });
    return {
      enterHost: () => undefined,
      end: async () => ({ ...this.exposed(await end?.()), traced: null }),
    };
  }

  /** Of a trace of the compute stream; undefined: there is one rank. */
  private exposed(trace: StreamTrace | undefined): Omit<StepTimes, 'traced'> {
    const { sp, world } = this.training.mesh;
    const msOf = (group: Communicator | null) => (group && trace?.waitsMs[group.stream.id]) ?? 0;
    return { spExposedMs: msOf(sp), gradientExposedMs: msOf(world) };
  }

  private beginTraced(number: number): StepTracing {
    const host: HostSpan[] = [];
    let current: { readonly name: string; readonly beginUs: number } | null = null;
    const leaveHost = () => {
      if (current !== null) host.push({ ...current, endUs: monotonicUs() });
      current = null;
    };
    const ends = streamsOf(this.training).map((stream) => ({ stream, end: stream.trace({ maxSpans }) }));
    return {
      enterHost: (name) => {
        leaveHost();
        current = { name, beginUs: monotonicUs() };
      },
      end: async () => {
        leaveHost();
        // Enqueued on all streams before the first is awaited.
        const pending = ends.map(async ({ stream, end }) => ({
          id: stream.id,
          name: stream.name,
          trace: await end(),
        }));
        const streams = await Promise.all(pending);
        return { ...this.exposed(streams[0]!.trace), traced: { number, host, streams } };
      },
    };
  }
}
