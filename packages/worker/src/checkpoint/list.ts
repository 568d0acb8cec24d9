import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { closedFolder, noCheckpoint, partial, unreadable } from './errors.js';
import { committedFile } from './files.js';

/** A checkpoint's folder as the file system shows it; nothing in it has been read. */
export interface CheckpointEntry {
  /** Absolute. */
  readonly dir: string;
  readonly step: number;
  /** The save came to its end. Without it the folder is debris of a killed save. */
  readonly isCommitted: boolean;
  readonly bytes: number;
}

/** Folder of a step's checkpoint inside a run's `checkpoints/`. */
export function checkpointName(step: number): string {
  return `step-${String(step).padStart(6, '0')}`;
}

/** The step that a folder is named for, whichever suffix it has; null: a folder of another name. */
export function stepOfName(name: string): number | null {
  const [, digits] = /^step-(\d{6,})(?:\.replaced|\.left(?:-\d+)?)?$/.exec(name) ?? [];
  return digits === undefined ? null : Number(digits);
}

/** Suffix of a committed checkpoint that is being replaced by one of the same step, until that one is committed. */
export const replacedSuffix = '.replaced';

/** Suffix of a checkpoint that is no longer one of its run's course; a number follows it where several of a step are. */
export const leftSuffix = '.left';

export function checkpointsFolder(runDir: string): string {
  return path.join(runDir, 'checkpoints');
}

/**
 * All checkpoints of a run by step, oldest first. Of two folders of one step the replacement comes last. Empty when
 * the run has none. Errors: E-DISK where a folder, or a file in one, is there and cannot be read.
 */
export function listCheckpoints(runDir: string): CheckpointEntry[] {
  const rank = ({ dir }: CheckpointEntry) => Number(!dir.endsWith(replacedSuffix));
  return entriesOf(runDir, /^step-(\d{6,})(\.replaced)?$/).sort(
    (a, b) => a.step - b.step || rank(a) - rank(b),
  );
}

/** Checkpoints that were set aside when the run went back to an earlier step, by step and then in that order. */
export function listLeft(runDir: string): CheckpointEntry[] {
  const number = ({ dir }: CheckpointEntry) => Number(/\.left-(\d+)$/.exec(dir)?.[1] ?? 1);
  return entriesOf(runDir, /^step-(\d{6,})\.left(-\d+)?$/).sort(
    (a, b) => a.step - b.step || number(a) - number(b),
  );
}

/** Folders whose names match; the pattern's first group is the step. */
function entriesOf(runDir: string, pattern: RegExp): CheckpointEntry[] {
  return readFolder(checkpointsFolder(runDir)).flatMap((name) => {
    const match = pattern.exec(name);
    if (match === null) return [];
    const dir = path.resolve(checkpointsFolder(runDir), name);
    const files = readFolder(dir);
    const bytes = files.reduce((sum, file) => sum + fileBytes(path.join(dir, file)), 0);
    return [{ dir, step: Number(match[1]), isCommitted: files.includes(committedFile), bytes }];
  });
}

/** The newest committed checkpoint of a run, not verified. Errors: E-CKPT-NONE; E-CKPT-PARTIAL when there is only debris; E-DISK. */
export function latestCommitted(runDir: string): CheckpointEntry {
  const all = listCheckpoints(runDir);
  const latest = all.filter((entry) => entry.isCommitted).at(-1);
  if (latest !== undefined) return latest;
  const debris = all.at(-1);
  if (debris !== undefined) throw partial(debris.dir, `the save was cut off: there is no ${committedFile}`);
  throw noCheckpoint(runDir);
}

function readFolder(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    const cause = error as NodeJS.ErrnoException;
    // Missing, not a folder, or pruned since it was listed.
    if (cause.code === 'ENOENT' || cause.code === 'ENOTDIR') return [];
    throw closedFolder(folder, cause);
  }
}

function fileBytes(file: string): number {
  try {
    return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  } catch (cause) {
    throw unreadable(file, cause as NodeJS.ErrnoException);
  }
}
