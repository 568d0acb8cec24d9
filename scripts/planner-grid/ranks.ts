import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { addressOf, hubAddress, limitArrivals, makeHub, plugIn } from './network.js';
import type { calls } from './rank.js';

type Calls = typeof calls;
type Arguments<C extends keyof Calls> = Parameters<Calls[C]>;
type Result<C extends keyof Calls> = Awaited<ReturnType<Calls[C]>>;

/** Until all processes have been told what to do at the same time. */
const leadS = 0.004;

/** Rank processes, each in a network namespace of its own, and the relay between them. */
export class Ranks {
  private limitedTo: number | null | undefined = undefined;
  private heldFor: number | undefined = undefined;

  private constructor(
    private readonly processes: readonly ChildProcess[],
    private readonly relay: ChildProcess,
  ) {}

  /** Starts them and connects groups of the first 2, 4, …; in the namespace in the middle, which must be the caller's. */
  static async start(groupSizes: readonly number[]): Promise<Ranks> {
    makeHub();
    const numRanks = Math.max(...groupSizes);
    const inNetwork = { execPath: 'unshare', execArgv: ['--net', '--', process.execPath] };
    const processes = Array.from({ length: numRanks }, () => fork(programPath('rank'), [], inNetwork));
    const ranks = new Ranks(processes, fork(programPath('relay')));
    // A process that answers is in its own network already.
    await ranks.onEach(numRanks, 'greet', () => []);
    processes.forEach((process, rank) => void plugIn(rank, process.pid!));
    const ports = await ranks.onEach(numRanks, 'open', (rank) => [rank]);
    const direct = ports.map((port, rank) => ({ host: addressOf(rank), port }));
    ranks.relay.send({ host: hubAddress, targets: direct });
    const [relayPorts] = (await once(ranks.relay, 'message')) as [number[]];
    const relayed = relayPorts.map((port) => ({ host: hubAddress, port }));
    for (const size of groupSizes) {
      for (const isRelayed of [false, true]) {
        // A rank listens at its own address whatever others dial.
        const addresses = (isRelayed ? relayed : direct).slice(0, size);
        const axis = axisOf(size, isRelayed);
        await ranks.onEach(size, 'connect', (rank) => [{ axis, rank, addresses }]);
      }
    }
    return ranks;
  }

  /** Sets every rank's ports; returns the name of the group that has these links. */
  async use(size: number, mbitPerS: number | null, delayMs: number): Promise<string> {
    if (mbitPerS !== this.limitedTo) {
      const { length } = this.processes;
      for (let rank = 0; rank < length; rank++) limitArrivals(rank, mbitPerS);
      await this.onEach(length, 'limit', () => [mbitPerS]);
      this.limitedTo = mbitPerS;
    }
    if (delayMs !== this.heldFor) {
      this.relay.send({ delayMs });
      await once(this.relay, 'message');
      this.heldFor = delayMs;
    }
    return axisOf(size, delayMs > 0);
  }

  /** Has the first `size` ranks do something at the same time; seconds until the last of them was done. */
  async together<C extends 'scan' | 'messages'>(
    size: number,
    call: C,
    orders: Arguments<C>[0],
  ): Promise<number> {
    const startAt = Number(process.hrtime.bigint()) / 1e9 + leadS;
    const seconds = await this.onEach(size, call, () => [orders, startAt] as unknown as Arguments<C>);
    return Math.max(...(seconds as number[]));
  }

  onEach<C extends keyof Calls>(
    size: number,
    call: C,
    args: (rank: number) => Arguments<C>,
  ): Promise<Result<C>[]> {
    return Promise.all(
      this.processes.slice(0, size).map(async (process, rank) => {
        process.send({ call, args: args(rank) });
        const [answer] = (await once(process, 'message')) as [{ result: Result<C>; error?: string }];
        if (answer.error !== undefined) throw new Error(`rank ${rank}: ${answer.error}`);
        return answer.result;
      }),
    );
  }

  close(): void {
    for (const process of [...this.processes, this.relay]) process.disconnect();
  }
}

function axisOf(size: number, isRelayed: boolean): string {
  return `${size} ${isRelayed ? 'relayed' : 'direct'}`;
}

function programPath(name: string): string {
  return fileURLToPath(new URL(`${name}.js`, import.meta.url));
}
