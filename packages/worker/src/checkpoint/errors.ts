import { LongscanError } from '@longscan/kernels';

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

/** A part of a checkpoint that is there and that the system does not give. */
export function unreadable(file: string, cause: NodeJS.ErrnoException): LongscanError {
  return corrupt(file, `cannot be read (${cause.code})`);
}

/** A folder that cannot be looked into, so that nobody knows which checkpoints there are. */
export function closedFolder(folder: string, cause: NodeJS.ErrnoException): LongscanError {
  return new LongscanError({
    code: 'E-DISK',
    where: folder,
    found: `cannot be read (${cause.code})`,
    expected: 'a folder that this user may read',
    fix: 'change its permissions, or move it away',
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
