import { LongscanError, reportBug } from '@longscan/kernels';
import type { RankEnv } from './control/rank-env.js';
import type { Assignment } from './protocol/assignment.js';
import type { Addresses, Done, RankTable, Report } from './protocol/messages.js';
import type { Plan } from './protocol/plan.js';

/** How a rank talks to the coordinator. Calls return at once; a thread of its own does the sending. */
export interface RankControl {
  /**
   * Tells where this rank listens and waits until all ranks have done so. Called once per task.
   *
   * @throws LongscanError E-RANK-ABORT when the job ends before that.
   */
  exchangeAddresses(addresses: Addresses): Promise<RankTable>;
  /**
   * Waits until all ranks are told that rank 0 has saved the checkpoint under way, however long that takes.
   *
   * @throws LongscanError E-RANK-ABORT when the job ends before that.
   */
  checkpointSaved(): Promise<void>;
  /**
   * Sends a report. A full send queue drops what comes often (steps, validations, incidents, progress) and counts that. Done is the task's
   * last report.
   */
  report(message: Report | Done): void;
  /** Runs `callback` when the job is to end after the step under way, also if that was asked before. */
  onStop(callback: (stop: { readonly save: boolean }) => void): void;
  /**
   * Runs `callback` when the job is over for this rank: abort every communicator, save nothing, let the task
   * reject. A process that has not ended after the grace period is killed.
   */
  onAbort(callback: (reason: string) => void): void;
}

/** Everything a task knows about the process it runs in. Passed down, never global. */
export interface RankContext {
  readonly assignment: Assignment;
  readonly env: RankEnv;
  readonly control: RankControl;
  /** Absolute path; null for tasks that leave nothing behind. */
  readonly runDir: string | null;
  /** One line into this rank's log. */
  readonly log: (line: string) => void;
  /** Words of `control/progress.ts`. */
  readonly progress: Int32Array;
}

/** The plan of a task that cannot run without one. */
export function planOf(context: RankContext): Plan {
  if (context.assignment.plan !== null) return context.assignment.plan;
  throw new LongscanError({
    code: 'E-RANK-PLAN',
    where: `task ${context.assignment.task.kind}`,
    found: 'an assignment without a plan',
    fix: reportBug(),
  });
}
