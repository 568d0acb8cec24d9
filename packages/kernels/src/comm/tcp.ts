import type { Device } from '../device.js';
import { loadAddon } from '../load-addon.js';
import { type Communicator, NativeCommunicator } from './communicator.js';
import { connected } from './connected.js';
import './native.js';

/** The one listening socket of a process; all its groups share it. */
export interface Listener {
  readonly port: number;
  /** Number of the native object. */
  readonly id: number;
  /** Stops listening; groups that are connected are not touched. */
  close(): void;
}

/**
 * Listens on a free port of this host address (`127.0.0.1`, `::`, a name). Strangers who connect are dropped and
 * cannot hold anything up; only who knows a group's token gets in.
 * @throws LongscanError E-COMM-CONNECT if the address cannot be used.
 */
export function openListener(host: string): Listener {
  const native = loadAddon();
  const { port, id } = native.commListenerOpen(host);
  return { port, id, close: () => native.commListenerClose(id) };
}

export interface TcpGroupOptions {
  readonly device: Device;
  readonly listener: Listener;
  readonly jobId: string;
  /** Names the group: `sp`, `dp`, `world`. A rank can be in several groups at once. */
  readonly axis: string;
  /** The job's secret, at least 16 characters; never sent. */
  readonly token: string;
  /** Grows with every attempt, so that connections of an earlier one are refused. */
  readonly epoch: number;
  /** Of this process in the group. */
  readonly rank: number;
  /** Where the ranks listen, in rank order, this one's included. */
  readonly addresses: readonly { readonly host: string; readonly port: number }[];
  /** For the whole group to stand; default 60 s. */
  readonly connectTimeoutMs?: number;
  /** Each wait inside a collective gets this long; default 10 min, for peers that are still computing. */
  readonly timeoutMs?: number;
  /** Aborts the communicator, also while it connects; its reason is the error's. */
  readonly signal?: AbortSignal;
}

/**
 * A group over TCP, one connection per pair of ranks, both ends proven by the token. The payload is not encrypted.
 *
 * @throws LongscanError E-COMM-CONNECT (with the ranks that are missing, or why one refused), E-AUTH. As with any
 * failure of a stream, the device is then no longer usable.
 */
export async function connectTcp(options: TcpGroupOptions): Promise<Communicator> {
  const { device, listener, addresses, axis, rank } = options;
  const stream = device.createStream(axis, { urgent: true });
  const id = device.native.commConnectTcp(
    stream.id,
    listener.id,
    options.jobId,
    axis,
    options.token,
    options.epoch,
    rank,
    addresses.map((address) => address.host),
    addresses.map((address) => address.port),
    options.connectTimeoutMs ?? 60_000,
    options.timeoutMs ?? 600_000,
  );
  return connected(new NativeCommunicator(stream, rank, addresses.length, id), options.signal);
}
