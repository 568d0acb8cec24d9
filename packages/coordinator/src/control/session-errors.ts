import { LongscanError } from '@longscan/worker/protocol';

/** Ranks that did not say hello in time, named. */
export function absentError(ranks: readonly number[], worldSize: number, timeoutMs: number): LongscanError {
  return new LongscanError({
    code: 'E-RANK-ABSENT',
    where: 'rendezvous',
    found: `${listRanks(ranks)} of ${worldSize} did not say hello within ${timeoutMs} ms`,
    fix: 'read their logs; raise launch.rendezvousTimeoutMs if they are only slow to start',
    exitCode: 8,
  });
}

/** Ranks that said hello but did not tell their addresses in time, named. */
export function unreadyError(ranks: readonly number[], worldSize: number, timeoutMs: number): LongscanError {
  return new LongscanError({
    code: 'E-RANK-ABSENT',
    where: 'rendezvous',
    found: `${listRanks(ranks)} of ${worldSize} did not get ready within ${timeoutMs} ms of the last hello`,
    fix: 'read their logs; raise launch.rendezvousTimeoutMs if they are only slow to start',
    exitCode: 8,
  });
}

/** Ranks that went on after a stop, named. */
export function stopTimeoutError(ranks: readonly number[], timeoutMs: number): LongscanError {
  return new LongscanError({
    code: 'E-RANK-STOP',
    where: 'stop',
    found: `${listRanks(ranks)} did not end within ${timeoutMs} ms`,
    expected: 'the end of the step under way and a checkpoint',
    fix: 'raise launch.stopTimeoutMs if a step takes longer',
    exitCode: 8,
  });
}

function listRanks(ranks: readonly number[]): string {
  return `${ranks.length === 1 ? 'rank' : 'ranks'} ${ranks.join(', ')}`;
}
