import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statfsSync, symlinkSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { checkpointsFolder, listCheckpoints, listLeft } from '@longscan/worker/checkpoint';
import { LongscanError, traceFolder } from '@longscan/worker/protocol';
import { refuseLiveRun } from './coordinator-record.js';
import type { JournalEvent } from './events.js';
import { JournalSummary } from './journal-summary.js';
import { parseRow } from './jsonl-file.js';
import { makeFolders, onDisk, requireFolder, writeFileOnDisk } from './on-disk.js';

/** Where run folders are made when a job does not say otherwise: below the current folder. */
export const runsFolder = 'runs';

/** Files of a run folder, by what they hold; absolute once joined with the folder. */
export const runFiles = {
  plan: 'plan.json',
  resolvedJob: 'job.resolved.toml',
  metrics: 'metrics.jsonl',
  events: 'events.jsonl',
  logs: 'logs',
  code: 'code',
  checkpoints: 'checkpoints',
  /** One file a rank, where a trace was asked for. */
  traces: traceFolder,
  /** All of them in one. */
  trace: 'trace.json',
} as const;

/**
 * Makes `runs/<name>-<timestamp>` and points `runs/latest` to it.
 *
 * @returns its absolute path.
 * @throws LongscanError E-DISK (exit code 3).
 */
export function createRunFolder(name: string, now: Date): string {
  const stamp = now.toISOString().replaceAll(':', '').replace('T', '-').slice(0, 17);
  const make = () => {
    makeFolders(resolve(runsFolder));
    for (let attempt = 1; ; attempt++) {
      const suffix = attempt === 1 ? '' : `-${attempt}`;
      const runDir = resolve(runsFolder, `${name}-${stamp}${suffix}`);
      if (makeFolder(runDir)) return runDir;
    }
  };
  return onDisk(resolve(runsFolder), make, '--run-dir');
}

/** False when there is something of that name already, also when it was made this very moment. */
function makeFolder(path: string): boolean {
  try {
    mkdirSync(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/**
 * Takes a folder that the user chose for a new run. One that holds checkpoints alone is not new either: the run would count them as
 * its own, overwrite and remove them, and be resumed from them.
 *
 * @throws LongscanError E-LOCK (exit code 3) when it is in use or holds an earlier run, E-DISK when it cannot be made.
 */
export function useRunFolder(given: string): string {
  const runDir = resolve(given);
  onDisk(runDir, () => makeFolders(runDir), '--run-dir');
  refuseLiveRun(runDir);
  const isRun = [runFiles.plan, runFiles.metrics].some((file) => existsSync(join(runDir, file)));
  const checkpoints = onDisk(runDir, () => listCheckpoints(runDir));
  if (!isRun && checkpoints.length === 0) return runDir;
  const hasCheckpoints = checkpoints.some(({ isCommitted }) => isCommitted);
  const hasPlan = existsSync(join(runDir, runFiles.plan));
  const resumption = hasCheckpoints ? 'to continue that run' : 'to begin that run anew';
  const canResume = hasPlan && (hasCheckpoints || hasSavedNothing(runDir));
  throw new LongscanError({
    code: 'E-LOCK',
    where: runDir,
    found: isRun
      ? `the folder holds an earlier run${hasCheckpoints ? '' : ', without a checkpoint'}`
      : 'the folder holds checkpoints of another run',
    expected: 'a new or empty folder',
    fix: `${canResume ? `add --resume ${resumption}` : 'move what it holds away'}, or choose another --run-dir`,
    exitCode: 3,
  });
}

/** Whether a run without checkpoints has lost none either, so that `--resume` begins it anew (`beginningOf` in `resume.ts`). */
function hasSavedNothing(runDir: string): boolean {
  if (onDisk(runDir, () => listLeft(runDir)).length > 0) return false;
  const events = join(runDir, runFiles.events);
  const text = onDisk(events, () => (existsSync(events) ? readFileSync(events, 'utf8') : ''));
  const journal = new JournalSummary();
  for (const line of text.split('\n')) {
    const event = parseRow(line) as JournalEvent | null;
    if (event !== null) journal.add(event);
  }
  return journal.checkpoint === null;
}

/** @throws LongscanError E-DISK (exit code 3) when the disk of a folder has less room than needed. */
export function requireSpace(runDir: string, neededBytes: number): void {
  const { bavail, bsize } = onDisk(runDir, () => statfsSync(runDir));
  const freeBytes = bavail * bsize;
  if (freeBytes >= neededBytes) return;
  throw new LongscanError({
    code: 'E-DISK',
    where: runDir,
    found: `${freeBytes} bytes free`,
    expected: `at least ${neededBytes}, room for two checkpoints`,
    fix: 'free some space, or choose a --run-dir on another disk',
    exitCode: 3,
  });
}

/**
 * Finds out before ranks train whether they can save.
 * @throws LongscanError E-DISK (exit code 3) where the folder of checkpoints cannot be made or written to
 */
export function requireCheckpoints(runDir: string): void {
  requireFolder(checkpointsFolder(runDir));
}

/** Points the symlink `latest` beside a run folder to it, where the folder's parent is a folder of runs. */
export function linkLatest(runDir: string): void {
  const parent = dirname(runDir);
  if (basename(parent) !== runsFolder) return;
  const draft = join(parent, `.latest-${process.pid}`);
  onDisk(parent, () => {
    rmSync(draft, { force: true });
    symlinkSync(relative(parent, runDir), draft);
    renameSync(draft, join(parent, 'latest'));
  });
}

/** Writes a file of the run folder. @throws LongscanError E-DISK (exit code 3). */
export function writeRunFile(runDir: string, name: string, text: string): void {
  writeFileOnDisk(join(runDir, name), text);
}
