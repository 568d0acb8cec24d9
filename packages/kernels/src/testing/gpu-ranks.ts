import { type ChildProcess, fork } from 'node:child_process';
import type { GpuRankNews, GpuRankPlace } from './gpu-rank.js';

export interface GpuRanksOptions {
  /** Calls `runGpuRank`. */
  readonly program: string;
  readonly size: number;
  /** What `program` is told beside its place. */
  readonly orders: object;
  /** All ranks are killed when so much has passed. */
  readonly patienceMs: number;
}

/** Ranks in processes of their own, which share the GPUs that there are. */
export class GpuRanks {
  private readonly news: GpuRankNews[][];
  private readonly looks = new Set<() => void>();
  private readonly timer: NodeJS.Timeout;

  private constructor(
    private readonly children: readonly ChildProcess[],
    patienceMs: number,
  ) {
    this.news = children.map(() => []);
    this.timer = setTimeout(() => this.kill(), patienceMs);
    const look = () => {
      for (const each of [...this.looks]) each();
    };
    children.forEach((child, rank) => {
      child.on('message', (news: GpuRankNews) => {
        this.news[rank]!.push(news);
        look();
      });
      child.on('exit', look);
    });
  }

  /** Starts the ranks for `body`; none is left after it. */
  static async run(
    { program, size, orders, patienceMs }: GpuRanksOptions,
    body: (ranks: GpuRanks) => Promise<unknown>,
  ): Promise<void> {
    const children = Array.from({ length: size }, (_, rank) => {
      // NCCL refuses ranks that share a GPU unless it takes them for ranks of other hosts.
      const env = { ...process.env, NCCL_HOSTID: `test-${process.pid}-${rank}` };
      return fork(program, { execArgv: [], env });
    });
    const ranks = new GpuRanks(children, patienceMs);
    try {
      const [first] = await ranks.all('ready');
      children.forEach((child, rank) => {
        child.send({ ...orders, rank, size, id: first!.id } satisfies GpuRankPlace);
      });
      await body(ranks);
    } finally {
      ranks.kill();
    }
  }

  /** The first news of this kind from a rank; rejects if a failure, or the end of the process, comes instead. */
  next<K extends GpuRankNews['kind']>(rank: number, kind: K): Promise<Extract<GpuRankNews, { kind: K }>> {
    return new Promise((resolve, reject) => {
      const child = this.children[rank]!;
      const look = () => {
        const found = this.news[rank]!.find((news) => news.kind === kind);
        const failure = this.news[rank]!.find((news) => news.kind === 'failed');
        const end = child.exitCode ?? child.signalCode;
        if (found === undefined && failure === undefined && end === null) return;
        this.looks.delete(look);
        if (found !== undefined) resolve(found as Extract<GpuRankNews, { kind: K }>);
        else reject(new Error(`rank ${rank} ended before "${kind}": ${failure?.message ?? end}`));
      };
      this.looks.add(look);
      look();
    });
  }

  /** The same from all ranks. */
  all<K extends GpuRankNews['kind']>(kind: K): Promise<Extract<GpuRankNews, { kind: K }>[]> {
    return Promise.all(this.children.map((_, rank) => this.next(rank, kind)));
  }

  signal(rank: number, name: NodeJS.Signals): void {
    this.children[rank]!.kill(name);
  }

  /** Lets a rank abort its communicator. */
  abort(rank: number): void {
    this.children[rank]!.send('abort');
  }

  private kill(): void {
    clearTimeout(this.timer);
    for (const child of this.children) child.kill('SIGKILL');
  }
}
