import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, fstatSync, openSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import {
  defineLauncher,
  type LaunchSession,
  type RankExit,
  type RankProcess,
  type RankState,
  type Submission,
} from '../launcher.js';
import { readTail } from '../run-folder/log-tail.js';
import { makeFolders, onDisk } from '../run-folder/on-disk.js';

/** File descriptor of the lifeline in the rank: after stdin, stdout and stderr. */
const lifelineFd = 3;

/** Starts the ranks as processes of this machine. */
export default defineLauncher({
  name: 'local',

  request({ mesh, jobSpec }, { command, logDir, numCores }) {
    const { numRanks } = mesh;
    const { threads } = jobSpec.device;
    const threadsPerRank = threads === 'auto' ? Math.max(1, Math.floor(numCores / numRanks)) : threads;
    const ranks = Array.from({ length: numRanks }, (_, rank) => ({
      rank,
      host: 'localhost',
      command,
      env: {
        RANK: String(rank),
        LOCAL_RANK: String(rank),
        WORLD_SIZE: String(numRanks),
        LOCAL_WORLD_SIZE: String(numRanks),
        OMP_NUM_THREADS: String(threadsPerRank),
        LONGSCAN_LIFELINE_FD: String(lifelineFd),
      },
      logPath: join(logDir, `rank-${rank}.log`),
    }));
    return { launcher: 'local', ranks };
  },

  async submit(request, session) {
    const processes: LocalRank[] = [];
    const submission = new LocalSubmission(processes);
    try {
      for (const rank of request.ranks) processes.push(new LocalRank(rank, session));
    } catch (error) {
      // Half a job is no job: what has been started goes with what could not be.
      await submission.cancel();
      throw error;
    }
    return submission;
  },
});

/**
 * One rank as a child process. It is detached, a process group of its own: Ctrl-C in the terminal reaches the
 * coordinator alone, which then decides. The pipe on fd 3 is what ties the rank to the coordinator's life.
 */
class LocalRank {
  readonly request: RankProcess;
  readonly ended: Promise<RankExit>;
  /** Length that the log had, which holds what earlier launches of a run wrote. */
  readonly #logStart: number;
  readonly #child: ChildProcess;
  #exit: RankExit | null = null;

  constructor(request: RankProcess, session: LaunchSession) {
    this.request = request;
    const [program, ...args] = request.command;
    const log = onDisk(request.logPath, () => {
      makeFolders(dirname(request.logPath));
      return openSync(request.logPath, 'a');
    });
    try {
      this.#logStart = fstatSync(log).size;
      this.#child = spawn(program, args, {
        detached: true,
        env: { ...process.env, ...request.env, ...session.env(request.rank) },
        stdio: ['ignore', log, log, 'pipe'],
      });
    } finally {
      closeSync(log);
    }
    // The rank never writes to it, and its end of file comes with the process's own exit event.
    this.#child.stdio[lifelineFd]?.on('error', () => {});
    this.ended = this.#watch().then((exit) => {
      this.#exit = exit;
      session.onExit(exit);
      return exit;
    });
  }

  /** Last lines that this process wrote. */
  log(maxLines: number): Promise<readonly string[]> {
    return readTail(this.request.logPath, maxLines, this.#logStart);
  }

  get state(): RankState {
    const { rank } = this.request;
    return { rank, host: hostname(), pid: this.#child.pid ?? null, exit: this.#exit };
  }

  /** SIGKILL to the process group, so that nothing a rank started outlives it. */
  kill(): void {
    const { pid } = this.#child;
    if (pid === undefined || this.#exit !== null) return;
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // It has ended between the check and the call.
    }
  }

  #watch(): Promise<RankExit> {
    const { rank } = this.request;
    const host = hostname();
    return new Promise((resolve) => {
      this.#child.once('error', (error) => {
        if (this.#child.pid !== undefined) return;
        resolve({ rank, host, exitCode: null, signal: null, startError: error.message });
      });
      this.#child.once('exit', (exitCode, signal) => {
        resolve({ rank, host, exitCode, signal, startError: null });
      });
    });
  }
}

class LocalSubmission implements Submission {
  readonly #processes: readonly LocalRank[];

  constructor(processes: readonly LocalRank[]) {
    this.#processes = processes;
  }

  async describe(): Promise<readonly RankState[]> {
    return this.#processes.map((rank) => rank.state);
  }

  async cancel(): Promise<void> {
    for (const rank of this.#processes) rank.kill();
    await Promise.all(this.#processes.map((rank) => rank.ended));
  }

  async logs(rank: number, maxLines: number): Promise<readonly string[]> {
    return this.#processes[rank]!.log(maxLines);
  }
}
