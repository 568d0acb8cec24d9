import { type ChildProcess, fork } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Launcher, LaunchSession, RankExit, RankProcess, RankState, Submission } from '../launcher.js';
import local from '../launchers/local.js';
import { readTail } from '../run-folder/log-tail.js';
import type { RankOrders } from './standing-rank.js';

const program = fileURLToPath(new URL('standing-rank.js', import.meta.url));

/**
 * Rank processes that stand by for the next run: for tests of what ranks compute, of which each would start dozens. What a
 * rank holds, it holds in its context and gives back at the end of its task; where a run ends badly its processes end too.
 */
export class StandingRanks {
  /** By number of threads, which a process's libraries read as it starts. */
  readonly #idle = new Map<string, ChildProcess[]>();

  /** For `launchBy`, whatever launcher a job names. */
  readonly launcherOf = async (): Promise<Launcher> => this.#launcher;
  readonly #launcher: Launcher = {
    name: 'standing',
    request: (plan, options) => ({ ...local.request(plan, options), launcher: 'standing' }),
    submit: async ({ ranks }, session) => {
      const runs = ranks.map((rank) => new StandingRun(this.#take(rank), rank, session));
      for (const run of runs) {
        void run.ended.then(() => {
          // One that was told to end as its part ended well is on its way out.
          if (run.child.connected && !run.child.killed) this.#processes(run.request).push(run.child);
        });
      }
      return submissionOf(runs);
    },
  };

  #processes({ env }: RankProcess): ChildProcess[] {
    const key = env.OMP_NUM_THREADS!;
    const found = this.#idle.get(key) ?? [];
    this.#idle.set(key, found);
    return found;
  }

  #take(rank: RankProcess): ChildProcess {
    return this.#processes(rank).pop() ?? start(rank);
  }
}

function start({ env: { OMP_NUM_THREADS } }: RankProcess): ChildProcess {
  const child = fork(program, {
    // A group of its own, as a launched rank is.
    detached: true,
    execArgv: [],
    env: { ...process.env, OMP_NUM_THREADS },
  });
  // The test's process does not wait for it, and it ends with that.
  child.unref();
  child.channel!.unref();
  return child;
}

/** One rank of one run, in a process that may have had others. */
class StandingRun {
  readonly request: RankProcess;
  readonly child: ChildProcess;
  readonly ended: Promise<RankExit>;
  #exit: RankExit | null = null;

  constructor(child: ChildProcess, request: RankProcess, session: LaunchSession) {
    this.child = child;
    this.request = request;
    const { rank, logPath } = request;
    mkdirSync(dirname(logPath), { recursive: true });
    // The process ends by its channel.
    const { LONGSCAN_LIFELINE_FD: _, ...env } = request.env;
    child.send({ env: { ...env, ...session.env(rank) }, logPath } satisfies RankOrders);
    this.ended = this.#watch().then(([exitCode, signal]) => {
      this.#exit = { rank, host: hostname(), exitCode, signal, startError: null };
      session.onExit(this.#exit);
      return this.#exit;
    });
  }

  get state(): RankState {
    const { rank } = this.request;
    return { rank, host: hostname(), pid: this.child.pid ?? null, exit: this.#exit };
  }

  kill(): void {
    if (this.#exit === null) this.child.kill('SIGKILL');
  }

  #watch(): Promise<readonly [number | null, NodeJS.Signals | null]> {
    const { child } = this;
    return new Promise((resolve) => {
      const settle = (exitCode: number | null, signal: NodeJS.Signals | null) => {
        child.off('message', onEnded).off('exit', settle);
        resolve([exitCode, signal]);
      };
      const onEnded = () => settle(0, null);
      child.on('message', onEnded).on('exit', settle);
    });
  }
}

function submissionOf(runs: readonly StandingRun[]): Submission {
  return {
    describe: async () => runs.map(({ state }) => state),
    cancel: async () => {
      for (const run of runs) run.kill();
      await Promise.all(runs.map(({ ended }) => ended));
    },
    logs: (rank, maxLines) => readTail(runs[rank]!.request.logPath, maxLines),
  };
}
