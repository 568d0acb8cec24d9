import { accessSync, constants, mkdirSync, mkdtempSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { LongscanError, writeRemedies } from '@longscan/worker/protocol';
import { removeAtExit } from '@longscan/worker/temporary-files';

/** The flag or variable that names another place than the one that cannot be written. */
export type PlaceOption = '--run-dir' | '--out' | '--save' | 'TMPDIR';

const noRight = 'no permission to write there';
const isFile = 'a file where a folder is needed';

/** What is wrong, by error code. */
const refusals: Readonly<Record<string, string>> = {
  ENOSPC: 'no space is left',
  EDQUOT: "the user's quota is used up",
  EFBIG: 'a file larger than this user may write',
  EROFS: 'a read-only file system',
  EACCES: noRight,
  EPERM: noRight,
  EEXIST: isFile,
  ENOTDIR: isFile,
  EISDIR: 'a folder where a file is needed',
  ENOENT: 'a folder that is not there',
  ELOOP: 'symbolic links that lead in a circle',
  ENAMETOOLONG: 'a name too long for the file system',
  EMFILE: 'this process has too many files open',
  ENFILE: 'the system has too many files open',
};
const remedies: Readonly<Record<string, string>> = { ...writeRemedies, ENOENT: 'make that folder' };

/**
 * Runs what touches the disk.
 *
 * @param option Of the command, for the remedy; null where another place cannot be chosen.
 * @throws LongscanError E-DISK (exit code 3) with the place where the file system refuses
 */
export function onDisk<T>(where: string, action: () => T, option: PlaceOption | null = null): T {
  try {
    return action();
  } catch (error) {
    throw asDiskError(where, error, option);
  }
}

/** What the file system refused as E-DISK; any other error as it is. */
export function asDiskError(where: string, error: unknown, option: PlaceOption | null = null): unknown {
  const { code, errno } = error as NodeJS.ErrnoException;
  // Errors of Node's own have a code, and no number of the system's.
  if (error instanceof LongscanError || code === undefined || errno === undefined) return error;
  const found = refusals[code] ?? 'it cannot be written';
  const remedy = remedies[code] ?? 'let this user write there';
  return new LongscanError({
    code: 'E-DISK',
    where,
    found: `${found} (${code})`,
    expected: 'a place with space that this user may write to',
    fix: option === null ? remedy : `${remedy}, or choose another ${option}`,
    exitCode: 3,
    cause: error,
  });
}

/** Makes a folder and those above it. What Node's own recursion says of a read-only file system is ENOENT. */
export function makeFolders(path: string): void {
  try {
    mkdirSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const parent = dirname(path);
    if (code === 'ENOENT' && statSync(parent, { throwIfNoEntry: false }) === undefined) {
      makeFolders(parent);
      makeFolders(path);
    } else if (code !== 'EEXIST' || !statSync(path).isDirectory()) throw error;
  }
}

/** Makes a folder that is written to later. @throws LongscanError E-DISK (exit code 3) where it cannot be made or written to */
export function requireFolder(path: string, option: PlaceOption | null = null): void {
  onDisk(
    path,
    () => {
      makeFolders(path);
      accessSync(path, constants.W_OK);
    },
    option,
  );
}

/** A new folder among the temporary ones, which goes with this process at the latest. */
export class TemporaryFolder {
  readonly path: string;
  /** Takes it away with all that is in it. */
  readonly remove: () => void;

  /** @throws LongscanError E-DISK (exit code 3) */
  constructor(prefix: string) {
    const parent = tmpdir();
    this.path = onDisk(parent, () => mkdtempSync(join(parent, prefix)), 'TMPDIR');
    this.remove = removeAtExit(this.path);
  }
}

/** Writes a file and makes the folders above it. @throws LongscanError E-DISK (exit code 3) */
export function writeFileOnDisk(path: string, text: string, option: PlaceOption | null = null): void {
  const place = resolve(path);
  onDisk(
    place,
    () => {
      makeFolders(dirname(place));
      writeFileSync(place, text);
    },
    option,
  );
}
