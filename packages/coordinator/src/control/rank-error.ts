import { type ErrorParts, type Failed, LongscanError } from '@longscan/worker/protocol';
import type { RankExit } from '../launcher.js';
import { describeExit } from './describe-exit.js';

/** An error that one rank brought about, with the end of that rank's log. */
export class RankError extends LongscanError {
  /** Last lines of the rank's log, oldest first. */
  readonly logTail: readonly string[];

  constructor(parts: ErrorParts & { readonly rank: number }, logTail: readonly string[] = []) {
    super(parts);
    this.name = 'RankError';
    this.logTail = logTail;
  }

  withLog(logTail: readonly string[]): RankError {
    return new RankError({ ...this.parts, rank: this.rank! }, logTail);
  }
}

/** A rank's process ended before its task was done. */
export function diedError(exit: RankExit, numSteps: number): RankError {
  return new RankError({
    code: 'E-RANK-DIED',
    where: 'job',
    found: describeExit(exit, numSteps),
    fix: 'the end of its log says more; longscan resume continues from the last checkpoint',
    exitCode: 8,
    rank: exit.rank,
  });
}

/** A rank's process lives or lived, but nothing came from it any more. */
export function silentError(rank: number, silentMs: number, doing: string): RankError {
  return new RankError({
    code: 'E-RANK-SILENT',
    where: `rank ${rank}`,
    found: `no heartbeat for ${(silentMs / 1000).toFixed(1)} s, last heard of ${doing}`,
    expected: 'one every second, also while it computes',
    fix: 'see whether its process is stopped or its host out of reach',
    exitCode: 8,
    rank,
  });
}

/** A rank's task is done, and its process does not end. */
export function lingeringError(rank: number, silentMs: number, patienceMs: number): RankError {
  return new RankError({
    code: 'E-RANK-SILENT',
    where: `rank ${rank}`,
    found: `its task was done ${(silentMs / 1000).toFixed(1)} s ago, and its process has not ended`,
    expected: `its end within ${patienceMs} ms, launch.stopTimeoutMs of a job`,
    fix: 'see what holds it: a GPU that others keep busy, or a driver that does not answer',
    exitCode: 8,
    rank,
  });
}

/** A task failed and said so: the rank's own error, under its rank. */
export function failedError(rank: number, failed: Failed): RankError {
  const { code, where, found, expected, fix, exitCode, stack } = failed;
  return new RankError({
    code,
    where: `rank ${rank}, ${where}`,
    found,
    ...(expected === null ? {} : { expected }),
    ...(fix === null ? {} : { fix }),
    exitCode,
    rank,
    ...(stack === null ? {} : { cause: stack }),
  });
}
