import { readSync } from 'node:fs';
import { LongscanError } from '@longscan/kernels';

/** Bytes `[start, start + length)` of an open file. @throws LongscanError E-DATA-CHANGED if it ends before that */
export function readFully(path: string, fd: number, start: number, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let filled = 0; filled < length; ) {
    const numRead = readSync(fd, bytes, filled, length - filled, start + filled);
    if (numRead === 0) throw textChanged(path, `the file ends at byte ${start + filled}`);
    filled += numRead;
  }
  return bytes;
}

/** The file is no longer what it was when the run opened it. */
export function textChanged(path: string, found: string): LongscanError {
  return new LongscanError({
    code: 'E-DATA-CHANGED',
    where: path,
    found,
    expected: 'the file as it was when the run opened it',
    fix: 'leave a data file alone while a run reads it; resume the run from its last checkpoint',
    exitCode: 4,
  });
}
