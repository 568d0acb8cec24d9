import type { Device } from '../device.js';
import { loadAddon } from '../load-addon.js';
import { type Communicator, NativeCommunicator } from './communicator.js';
import { connected } from './connected.js';
import './native.js';
import { type ChainCarrier, PeerCommunicator, type PeerMemory, peerModes } from './peer-memory.js';

export interface NcclInfo {
  /** `2.28.3`; all ranks of a group need the same. */
  readonly version: string;
  readonly path: string;
}

/**
 * Opens NCCL: LONGSCAN_NCCL, else as the loader looks, else in a Python environment's `nvidia/nccl/lib`.
 * @throws LongscanError E-NCCL with every path tried, or if it is older than 2.14.
 */
export function openNccl(): NcclInfo {
  return loadAddon().commNcclOpen();
}

/**
 * Makes the id of a new group. One rank of it does so and tells the others; this process must live on until all of them
 * have joined.
 * @throws LongscanError E-NCCL
 */
export function createNcclGroupId(): string {
  return loadAddon().commNcclGroupId();
}

export interface NcclGroupOptions {
  /** A GPU's. Ranks that share one need an NCCL_HOSTID each, in the environment before NCCL is opened. */
  readonly device: Device;
  /** Names the group: `sp`, `dp`, `world`. */
  readonly axis: string;
  /** Of `createNcclGroupId`, the same on all ranks. */
  readonly id: string;
  /** Of this process in the group. */
  readonly rank: number;
  readonly size: number;
  /** For the whole group to stand; default 60 s. */
  readonly connectTimeoutMs?: number;
  /** A collective may run for this long once it has its turn on the GPU; default 10 min. */
  readonly timeoutMs?: number;
  /** Whether chains go through memory of other ranks that GPUs have mapped; left out: the group has no chains. */
  readonly peerMemory?: PeerMemory;
  /** Aborts the communicator, also while it connects; its reason is the error's. */
  readonly signal?: AbortSignal;
}

/** A group that stands. */
export interface NcclGroup {
  readonly comm: Communicator;
  readonly chains: ChainCarrier;
}

/**
 * A group over NCCL, on a stream of its own that the GPU prefers to others.
 *
 * @throws LongscanError E-COMM-CONNECT if not all ranks join in time, E-NCCL (another version than the group's, or what
 *   NCCL says), E-PEER-MEMORY (a rank requires what cannot be). As with any failure of a stream, the device is then no longer
 *   usable.
 */
export async function connectNccl(options: NcclGroupOptions): Promise<NcclGroup> {
  const { device, axis, id, rank, size, connectTimeoutMs = 60_000, timeoutMs = 600_000 } = options;
  const { peerMemory } = options;
  const stream = device.createStream(axis, { urgent: true });
  const mode = peerMemory === undefined ? 0 : peerModes[peerMemory];
  const native = device.native.commConnectNccl(
    stream.id,
    axis,
    id,
    rank,
    size,
    connectTimeoutMs,
    timeoutMs,
    mode,
  );
  const comm = await connected(new NativeCommunicator(stream, rank, size, native), options.signal);
  const reason = device.native.commChainObstacle(native);
  if (reason === '') {
    const chains = { carrier: 'mapped-memory' } as const;
    return { comm: new PeerCommunicator(stream, rank, size, native), chains };
  }
  const isChosen = peerMemory === undefined || peerMemory === 'off';
  return { comm, chains: { carrier: 'messages', isChosen, reason } };
}
