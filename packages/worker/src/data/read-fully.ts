import { readSync } from 'node:fs';
import { LongscanError } from '@longscan/kernels/errors';

/** Bytes `[start, start + length)` of an open file. @throws LongscanError E-DATA-CHANGED if it ends before that, E-DATA-READ */
export function readFully(path: string, fd: number, start: number, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let filled = 0; filled < length; ) {
    const numRead = readSome(path, fd, bytes.subarray(filled), start + filled);
    if (numRead === 0) throw textChanged(path, `the file ends at byte ${start + filled}`);
    filled += numRead;
  }
  return bytes;
}

function readSome(path: string, fd: number, bytes: Uint8Array, start: number): number {
  try {
    return readSync(fd, bytes, 0, bytes.length, start);
  } catch (cause) {
    throw new LongscanError({
      code: 'E-DATA-READ',
      where: path,
      found: `byte ${start} cannot be read (${(cause as NodeJS.ErrnoException).code})`,
      expected: 'a file that can be read to its end',
      fix: 'see to the disk or the share that it lies on, then resume the run',
      exitCode: 4,
      cause,
    });
  }
}

/** The file is no longer what it was when the run was launched. */
export function textChanged(path: string, found: string): LongscanError {
  return new LongscanError({
    code: 'E-DATA-CHANGED',
    where: path,
    found,
    expected: 'the file as it was when the run was launched',
    fix: 'leave a data file alone while a run reads it; give it back as it was and resume the run, or start a new one',
    exitCode: 4,
  });
}
