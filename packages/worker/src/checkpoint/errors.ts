import { LongscanError } from '@longscan/kernels/errors';
import { diskRemedies } from '../protocol/disk-remedies.js';

const otherCheckpoint = 'use another checkpoint; `longscan ckpt ls RUN` lists those of a run';

/** A folder in which a save has not come to its end. */
export function partial(dir: string, found: string): LongscanError {
  const expected = 'a checkpoint that was committed';
  return new LongscanError({
    code: 'E-CKPT-PARTIAL',
    where: dir,
    found,
    expected,
    fix: otherCheckpoint,
    exitCode: 4,
  });
}

/** A committed checkpoint that is not what was written. */
export function corrupt(file: string, found: string, expected?: string, wayOut?: string): LongscanError {
  return new LongscanError({
    code: 'E-CKPT-CORRUPT',
    where: file,
    found,
    expected,
    fix: wayOut === undefined ? otherCheckpoint : `${wayOut}, or ${otherCheckpoint}`,
    exitCode: 4,
  });
}

/** What lies where a file of a checkpoint should be is not one: damage, which stays. */
const notAFile: readonly (string | undefined)[] = ['ENOENT', 'ENOTDIR', 'EISDIR'];

/**
 * A file of a checkpoint that the system does not give: E-DISK, since what it holds may be whole and be read the next time;
 * E-CKPT-CORRUPT where there is no such file.
 */
export function unreadable(file: string, cause: NodeJS.ErrnoException): LongscanError {
  if (notAFile.includes(cause.code)) return corrupt(file, `cannot be read (${cause.code})`);
  return notRead(file, cause, 'a file that this user may read', 'move its checkpoint away');
}

/** A folder that cannot be looked into, so that nobody knows which checkpoints there are. */
export function closedFolder(folder: string, cause: NodeJS.ErrnoException): LongscanError {
  return notRead(folder, cause, 'a folder that this user may read', 'move it away');
}

function notRead(
  where: string,
  cause: NodeJS.ErrnoException,
  expected: string,
  wayOut: string,
): LongscanError {
  return new LongscanError({
    code: 'E-DISK',
    where,
    found: `cannot be read (${cause.code})`,
    expected,
    fix: `${diskRemedies[cause.code ?? ''] ?? 'change its permissions'}, or ${wayOut}`,
    exitCode: 3,
    cause,
  });
}

/** Nothing to resume from. */
export function none(where: string, found: string, fix: string): LongscanError {
  return new LongscanError({ code: 'E-CKPT-NONE', where, found, expected: 'a checkpoint', fix, exitCode: 4 });
}

export function noCheckpoint(runDir: string): LongscanError {
  return none(runDir, 'no checkpoint', 'train the job first, or name another run');
}
