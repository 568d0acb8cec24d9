import { type ChildProcess, fork } from 'node:child_process';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import type { NcclRankNews, NcclRankOrders } from './nccl-rank-process.js';

const program = fileURLToPath(new URL('./nccl-rank-process.js', import.meta.url));

type News<K extends NcclRankNews['kind']> = Extract<NcclRankNews, { kind: K }>;
export type NcclFailure = News<'failed'> & { readonly rank: number; readonly atMs: number };

/** Ranks in processes of their own that share the first GPU; all are killed when `patienceMs` have passed. */
export class NcclRanks {
  private readonly news: (NcclRankNews & { atMs: number })[][];
  private readonly waiting = new Set<() => void>();
  private readonly timer: NodeJS.Timeout;

  private constructor(
    private readonly children: readonly ChildProcess[],
    patienceMs: number,
  ) {
    this.news = children.map(() => []);
    this.timer = setTimeout(() => this.kill(), patienceMs);
    children.forEach((child, rank) => {
      child.on('message', (news: NcclRankNews) => {
        this.news[rank]!.push({ ...news, atMs: performance.now() });
        for (const look of this.waiting) look();
      });
      child.on('exit', () => {
        for (const look of this.waiting) look();
      });
    });
  }

  static async start(
    orders: Pick<NcclRankOrders, 'size' | 'timeoutMs' | 'task'>,
    patienceMs: number,
  ): Promise<NcclRanks> {
    const children = Array.from({ length: orders.size }, (_, rank) => {
      // NCCL refuses ranks that share a GPU unless it takes them for ranks of other hosts.
      const env = { ...process.env, NCCL_HOSTID: `test-${process.pid}-${rank}` };
      return fork(program, { execArgv: [], env });
    });
    const ranks = new NcclRanks(children, patienceMs);
    try {
      const id = (await ranks.all('ready'))[0]!.id;
      children.forEach((child, rank) => void child.send({ ...orders, rank, id } satisfies NcclRankOrders));
    } catch (error) {
      ranks.kill();
      throw error;
    }
    return ranks;
  }

  /** The first news of this kind from a rank; fails if another failure, or its end, comes before it. */
  next<K extends NcclRankNews['kind']>(rank: number, kind: K): Promise<News<K> & { atMs: number }> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const list = this.news[rank]!;
        const found = list.find((news) => news.kind === kind);
        const failed = list.find((news) => news.kind === 'failed');
        const child = this.children[rank]!;
        if (
          found === undefined &&
          failed === undefined &&
          child.exitCode === null &&
          child.signalCode === null
        )
          return;
        this.waiting.delete(look);
        if (found !== undefined) resolve(found as News<K> & { atMs: number });
        else
          reject(
            new Error(
              `rank ${rank} of ${this.children.length} ended before "${kind}": ${failed?.message ?? child.exitCode ?? child.signalCode}`,
            ),
          );
      };
      this.waiting.add(look);
      look();
    });
  }

  all<K extends NcclRankNews['kind']>(kind: K): Promise<(News<K> & { atMs: number })[]> {
    return Promise.all(this.children.map((_, rank) => this.next(rank, kind)));
  }

  signal(rank: number, name: NodeJS.Signals): number {
    this.children[rank]!.kill(name);
    return performance.now();
  }

  abort(rank: number): number {
    this.children[rank]!.send('abort');
    return performance.now();
  }

  kill(): void {
    clearTimeout(this.timer);
    for (const child of this.children) child.kill('SIGKILL');
  }
}
