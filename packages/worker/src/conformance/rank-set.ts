import {
  type Communicator,
  connectTcp,
  createInProcessGroup,
  type Device,
  openCpuDevice,
  openListener,
} from '@longscan/kernels';

/** What carries the bytes between ranks. */
export type Engine = 'in-process' | 'tcp';

export interface RankSetOptions {
  readonly engine?: Engine;
  /** A wait inside a collective ends after this, with an error. */
  readonly timeoutMs?: number;
}

export const defaultTimeoutMs = 20_000;

/** Where a test asks for one number of ranks a node: two, if they fill all nodes. */
export function usualNode(numRanks: number): number {
  return numRanks % 2 === 0 ? 2 : numRanks;
}

/** Ranks in this process, one device each, in rank order; fresh memory holds NaN. */
export class RankSet {
  private constructor(
    readonly devices: readonly Device[],
    readonly communicators: readonly Communicator[],
  ) {}

  static async open(numRanks: number, options: RankSetOptions = {}): Promise<RankSet> {
    const { engine = 'in-process', timeoutMs = defaultTimeoutMs } = options;
    const devices = Array.from({ length: numRanks }, () => openCpuDevice({ poison: true }));
    const isAlone = numRanks === 1;
    const communicators =
      engine === 'tcp' && !isAlone
        ? await connectAll(devices, timeoutMs)
        : createInProcessGroup(devices, { timeoutMs });
    return new RankSet(devices, communicators);
  }

  /** Waits for everything that was enqueued; the first failure is thrown. */
  async sync(): Promise<void> {
    const streams = [...this.communicators, ...this.devices.map(({ compute }) => ({ stream: compute }))];
    await Promise.all(streams.map(({ stream }) => stream.sync()));
  }

  close(): void {
    for (const device of this.devices) device.close();
  }
}

/** Runs `body` with a fresh set of ranks, so that no check inherits another's failure. */
export async function withRanks<T>(
  numRanks: number,
  body: (ranks: RankSet) => Promise<T>,
  options: RankSetOptions = {},
): Promise<T> {
  const ranks = await RankSet.open(numRanks, options);
  try {
    return await body(ranks);
  } finally {
    ranks.close();
  }
}

async function connectAll(devices: readonly Device[], timeoutMs: number): Promise<Communicator[]> {
  const listeners = devices.map(() => openListener('127.0.0.1'));
  const addresses = listeners.map(({ port }) => ({ host: '127.0.0.1', port }));
  const group = { jobId: 'conformance', axis: 'sp', token: 'a token for the checks', epoch: 1, addresses };
  try {
    return await Promise.all(
      devices.map((device, rank) =>
        connectTcp({ ...group, device, rank, listener: listeners[rank]!, timeoutMs }),
      ),
    );
  } finally {
    for (const listener of listeners) listener.close();
  }
}
