import type { Communicator } from '@longscan/kernels';
import type { CollectiveCase } from '../../protocol/collectives.js';

/** Something to measure on this rank of a group: all ranks make the same cases in the same order. */
export interface MeasuredCase {
  readonly what: CollectiveCase;
  /** Calls enqueued one after the other for one sample. */
  readonly numCalls: number;
  /** Operations of which the time of a sample is made: two for each call that goes there and back. */
  readonly numOps: number;
  /** Whether this rank's time is that of the operation. */
  readonly isTimed: boolean;
  /** Makes inputs whole and spoils outputs, on the compute stream. */
  prepare(): void;
  /** Enqueues the calls; `start` is to be called where the time begins. It ends behind the last one. */
  enqueue(start: () => void): void;
  /** @throws LongscanError E-BENCH-DATA if a value is not what it has to be */
  check(): Promise<void>;
  /** Gives its tensors back. */
  release(): void;
}

/** As many bytes a sample moves by and by, so that a small message is timed over many. */
const sampleBytes = 8 * 2 ** 20;

export function callsFor(bytes: number, most = 100): number {
  return Math.max(1, Math.min(most, Math.round(sampleBytes / bytes)));
}

/** In an error: what was measured, and where. */
export function describeCase(
  { op, strategy, blocks, bytes }: CollectiveCase,
  { rank, size }: Pick<Communicator, 'rank' | 'size'>,
): string {
  const name = strategy === null ? op : `${op} by ${strategy} in ${blocks} blocks`;
  return `${name}, ${bytes} bytes, on rank ${rank} of ${size}`;
}
