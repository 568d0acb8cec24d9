import { appendFileSync } from 'node:fs';
import { readRankEnv } from '@longscan/worker/control';
import { runRank } from '@longscan/worker/run-rank';

/** What a run wants of a process that stands by. */
export interface RankOrders {
  /** What a launcher sets in the environment of a process that it starts. */
  readonly env: Readonly<Record<string, string>>;
  readonly logPath: string;
}

/**
 * A process that is one rank of one run after another, started by `StandingRanks`. It says so when its part of a run has
 * ended well, and ends itself otherwise: what a failure leaves behind meets no other run.
 */
process.on('disconnect', () => process.exit()); // the test has ended
process.on('message', (orders: RankOrders) => void take(orders));

async function take({ env, logPath }: RankOrders): Promise<void> {
  const write = (text: string) => appendFileSync(logPath, text);
  const exitCode = await runRank(readRankEnv(env), write).catch((error: unknown) => {
    write(`${error}\n`);
    return 1;
  });
  if (exitCode !== 0) process.exit(exitCode);
  process.send!('ended');
}
