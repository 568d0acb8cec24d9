import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { RankNews, RankOrders } from './testing/rank-process.js';

const program = fileURLToPath(new URL('./testing/rank-process.js', import.meta.url));
/** Far beyond what anything here takes, below the test runner's own deadline. */
const patienceMs = 200_000;
/** For who is to run into it; others that are merely slow must not. */
const shortMs = 3000;

type Failure = Extract<RankNews, { kind: 'failed' }> & { readonly rank: number };

/** Ranks in processes of their own, all of them exchanging messages; killed at the end whatever happens. */
class RankProcesses {
  private readonly failures = new Map<number, Failure>();
  private constructor(private readonly children: readonly ChildProcess[]) {
    children.forEach((child, rank) => {
      child.on('message', (news: RankNews) => {
        if (news.kind === 'failed') this.failures.set(rank, { ...news, rank });
      });
    });
  }

  static async start(
    numRanks: number,
    orders: Pick<RankOrders, 'timeoutMs' | 'traffic'>,
  ): Promise<RankProcesses> {
    const children = Array.from({ length: numRanks }, () => fork(program, { execArgv: [] }));
    const ranks = new RankProcesses(children);
    const timer = setTimeout(() => ranks.kill(), patienceMs);
    try {
      const ports = await Promise.all(
        children.map((child) => news(child, 'listening').then(({ port }) => port)),
      );
      const running = children.map((child) => news(child, 'running'));
      children.forEach((child, rank) => void child.send({ ...orders, rank, ports }));
      await Promise.all(running);
    } catch (error) {
      ranks.kill();
      throw error;
    } finally {
      clearTimeout(timer);
    }
    return ranks;
  }

  signal(rank: number, name: NodeJS.Signals): void {
    this.children[rank]!.kill(name);
  }

  /** Waits until each of these ranks has failed. */
  async failuresOf(ranks: readonly number[]): Promise<Failure[]> {
    const timer = setTimeout(() => this.kill(), patienceMs);
    try {
      for (const rank of ranks) {
        if (!this.failures.has(rank)) await news(this.children[rank]!, 'failed');
      }
    } finally {
      clearTimeout(timer);
    }
    return ranks.map((rank) => this.failures.get(rank)!);
  }

  kill(): void {
    for (const child of this.children) child.kill('SIGKILL');
  }
}

/** The next news of this kind from a process; fails if it ends first. */
async function news<K extends RankNews['kind']>(
  child: ChildProcess,
  kind: K,
): Promise<Extract<RankNews, { kind: K }>> {
  return new Promise((resolve, reject) => {
    child.on('message', (message: RankNews) => {
      if (message.kind === kind) resolve(message as Extract<RankNews, { kind: K }>);
    });
    child.on('exit', (code, signal) => reject(new Error(`a rank ended before "${kind}": ${code ?? signal}`)));
  });
}

async function withRanks(
  numRanks: number,
  orders: Pick<RankOrders, 'timeoutMs' | 'traffic'>,
  body: (ranks: RankProcesses) => Promise<void>,
): Promise<void> {
  const ranks = await RankProcesses.start(numRanks, orders);
  try {
    await body(ranks);
  } finally {
    ranks.kill();
  }
}

for (const traffic of ['all', 'ring'] as const) {
  test(`SIGKILL of one of 4, ${traffic} ~> the others fail before their deadline`, async () => {
    await withRanks(4, { timeoutMs: 10 * patienceMs, traffic }, async (ranks) => {
      ranks.signal(1, 'SIGKILL');
      const failures = await ranks.failuresOf([0, 2, 3]);
      for (const failure of failures) {
        assert.is(failure.code, 'E-COMM-PEER', failure.message);
        assert.match(failure.message, new RegExp(`sp rank ${failure.rank} of 4: rank [0-3] is gone`));
      }
      const named = failures.some(({ message }) => message.includes('rank 1 is gone'));
      assert.ok(named, 'who fails first talks to the dead rank and names it');
    });
  });
}

test('SIGSTOP of one of 2 ~> the other runs into its deadline, which names it', async () => {
  await withRanks(2, { timeoutMs: shortMs, traffic: 'all' }, async (ranks) => {
    ranks.signal(1, 'SIGSTOP');
    const [failure] = await ranks.failuresOf([0]);
    assert.is(failure!.code, 'E-COMM-DEADLINE');
    assert.match(
      failure!.message,
      /sp rank 0 of 2: the deadline passed in a receive of \d+ bytes from rank 1/,
    );
    assert.ok(failure!.waitedMs >= shortMs, `after ${failure!.waitedMs} ms, before the deadline`);
  });
});

test('SIGSTOP of one of 4 ~> all others fail, one of them by its deadline and naming it', async () => {
  await withRanks(4, { timeoutMs: shortMs, traffic: 'all' }, async (ranks) => {
    ranks.signal(2, 'SIGSTOP');
    const failures = await ranks.failuresOf([0, 1, 3]);
    for (const failure of failures) assert.match(failure.code, /E-COMM-(DEADLINE|PEER)/);
    const named = failures.some(({ message }) =>
      /deadline passed in a receive of .* from rank 2/.test(message),
    );
    assert.ok(named, failures.map(({ message }) => message).join('\n'));
  });
});

test('a process that exits while a collective waits ~> ends by itself, with its own exit code', async () => {
  const exiting = fileURLToPath(new URL('./testing/exit-while-waiting.js', import.meta.url));
  const child = fork(exiting, { execArgv: [] });
  const timer = setTimeout(() => child.kill('SIGKILL'), patienceMs);
  const [code, signal] = await once(child, 'exit');
  clearTimeout(timer);
  assert.equal([code, signal], [42, null]);
});

test.run();
