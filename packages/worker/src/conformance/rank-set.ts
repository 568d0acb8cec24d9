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

/** Ranks that somebody else has opened, and what to do with them after a check. */
export interface OpenRanks {
  readonly communicators: readonly Communicator[];
  close(): void;
}

/** Opens a group; of its ranks those that are in this process, where others run the same check in processes of their own. */
export type RankMaker = (numRanks: number, timeoutMs: number) => Promise<OpenRanks>;

export interface RankSetOptions {
  /** Default: `in-process`. */
  readonly engine?: Engine | RankMaker;
  /** A wait inside a collective ends after this, with an error. */
  readonly timeoutMs?: number;
}

export const defaultTimeoutMs = 20_000;

/** Where a test asks for one number of ranks a node: two, if they fill all nodes. */
export function usualNode(numRanks: number): number {
  return numRanks % 2 === 0 ? 2 : numRanks;
}

/** The ranks of a group in this process, as a rule all of them: one device each, in rank order; fresh memory holds NaN. */
export class RankSet {
  readonly devices: readonly Device[];
  readonly communicators: readonly Communicator[];
  private readonly sentBefore: readonly number[];

  private constructor(private readonly ranks: OpenRanks) {
    this.communicators = ranks.communicators;
    this.devices = this.communicators.map(({ stream }) => stream.device);
    this.sentBefore = this.communicators.map((communicator) => communicator.bytesSent());
  }

  static async open(numRanks: number, options: RankSetOptions = {}): Promise<RankSet> {
    const { engine = 'in-process', timeoutMs = defaultTimeoutMs } = options;
    const open = typeof engine === 'function' ? engine : engines[engine];
    return new RankSet(await open(numRanks, timeoutMs));
  }

  /** Bytes that each of these ranks has sent since the set was opened; exact once all are idle. */
  sent(): { readonly rank: number; readonly bytes: number }[] {
    return this.communicators.map((communicator, i) => ({
      rank: communicator.rank,
      bytes: communicator.bytesSent() - this.sentBefore[i]!,
    }));
  }

  /** Waits for everything that was enqueued; the first failure is thrown. */
  async sync(): Promise<void> {
    const streams = [...this.communicators, ...this.devices.map(({ compute }) => ({ stream: compute }))];
    await Promise.all(streams.map(({ stream }) => stream.sync()));
  }

  close(): void {
    this.ranks.close();
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

const engines: Readonly<Record<Engine, RankMaker>> = {
  'in-process': async (numRanks, timeoutMs) => {
    const devices = openDevices(numRanks);
    return openRanks(devices, createInProcessGroup(devices, { timeoutMs }));
  },
  tcp: async (numRanks, timeoutMs) => {
    if (numRanks === 1) return engines['in-process'](numRanks, timeoutMs);
    const devices = openDevices(numRanks);
    return openRanks(devices, await connectAll(devices, timeoutMs));
  },
};

const openDevices = (numRanks: number) =>
  Array.from({ length: numRanks }, () => openCpuDevice({ poison: true }));

function openRanks(devices: readonly Device[], communicators: readonly Communicator[]): OpenRanks {
  return {
    communicators,
    close() {
      for (const device of devices) device.close();
    },
  };
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
