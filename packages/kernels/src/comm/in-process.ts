import type { Device } from '../device.js';
import { type Communicator, NativeCommunicator } from './communicator.js';
import './native.js';

export interface InProcessOptions {
  /** Names the group in messages and its streams; default `sp`. */
  readonly axis?: string;
  /** Each wait inside a collective gets this long; default 60 s. */
  readonly timeoutMs?: number;
}

/**
 * Several ranks in this process, one per device, in rank order; also the group of a lone rank. Nothing is buffered
 * between them: a send ends when its receive is there, so a wrong order of sends and receives hangs every time.
 */
export function createInProcessGroup(
  devices: readonly Device[],
  options: InProcessOptions = {},
): Communicator[] {
  const axis = options.axis ?? 'sp';
  const streams = devices.map((device) => device.createStream(axis, { urgent: true }));
  const native = devices[0]!.native;
  const streamIds = streams.map((stream) => stream.id);
  const ids = native.commInProcessGroup(axis, streamIds, options.timeoutMs ?? 60_000);
  return streams.map((stream, rank) => new NativeCommunicator(stream, rank, streams.length, ids[rank]!));
}
