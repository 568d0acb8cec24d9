import { type Communicator, createInProcessGroup, type Device, openCpuDevice } from '@longscan/kernels';

/** A wait inside a collective of a check ends after this, with an error. */
export const defaultTimeoutMs = 20_000;

/** Ranks in this process, one device each, in rank order; fresh memory holds NaN. */
export class RankSet {
  readonly devices: readonly Device[];
  readonly communicators: readonly Communicator[];

  constructor(numRanks: number, timeoutMs: number) {
    this.devices = Array.from({ length: numRanks }, () => openCpuDevice({ poison: true }));
    this.communicators = createInProcessGroup(this.devices, { timeoutMs });
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
  timeoutMs = defaultTimeoutMs,
): Promise<T> {
  const ranks = new RankSet(numRanks, timeoutMs);
  try {
    return await body(ranks);
  } finally {
    ranks.close();
  }
}
