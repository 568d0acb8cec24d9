import { existsSync, realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import {
  latestValid,
  listCheckpoints,
  listLeft,
  type Manifest,
  verifyCheckpoint,
} from '@longscan/worker/checkpoint';
import { type JobSpec, LongscanError, resumableKeys } from '@longscan/worker/protocol';
import { findDrift, jobHash } from '../spec/index.js';
import { usage } from '../usage.js';
import { isLive, readRecord, refuseLiveRun } from './coordinator-record.js';
import { findRun, listRuns, readPlan } from './find-run.js';
import { runFiles, runsFolder } from './run-folder.js';
import { readStatus } from './status.js';

/** A run to be continued. Paths are without symlinks: `runs/latest` is about to move. */
export interface ResumeTarget {
  readonly runDir: string;
  /** What it goes on from; null: it was ended before it had saved anything, and begins anew. */
  readonly checkpoint: { readonly dir: string; readonly manifest: Manifest } | null;
  /** All committed checkpoints as they were before this one was chosen. */
  readonly committed: readonly string[];
  /** Newer checkpoints that are not whole, each with the reason. Without one that is: saves that were cut off. */
  readonly skipped: readonly LongscanError[];
}

export interface ResumeOptions {
  /** `auto`, a run, or a checkpoint folder of a run. */
  readonly resume: string;
  /** Folder of the run, which `auto` looks in; else it has to be that of what `resume` names. */
  readonly runDir: string | undefined;
  readonly jobSpec: JobSpec;
}

/**
 * Finds what `--resume` means. `auto` is the newest run of the same job hash that has a checkpoint before the job's
 * last step and is not running; null when there is none.
 *
 * @throws LongscanError E-RUN-NONE, E-CKPT-NONE (also of a run that has lost what it had saved) and the other E-CKPT-* for a run
 * that was named, E-LOCK where that is under way, E-CLI-USAGE (exit code 2) for the folder of another; E-DISK (exit code 3) for what
 * cannot be read, also of a run that `auto` comes by.
 */
export async function findResumeTarget({
  resume,
  runDir,
  jobSpec,
}: ResumeOptions): Promise<ResumeTarget | null> {
  if (resume !== 'auto') {
    const named = findNamed(resume);
    if (runDir !== undefined) refuseOtherFolder(runDir, resume, named.runDir);
    refuseLiveRun(named.runDir, 'resume a copy of its folder');
    return named.checkpointDir === null
      ? newestOf(named.runDir)
      : checkpointOf(named.runDir, named.checkpointDir);
  }
  if (runDir !== undefined) {
    refuseLiveRun(runDir);
    return existsSync(resolve(runDir, runFiles.plan)) ? newestOf(realpathSync(runDir)) : null;
  }
  for (const name of listRuns()) {
    const candidate = resolve(runsFolder, name);
    const target = isResumable(candidate, jobSpec)
      ? await newestOf(candidate).catch(ignoreLongscanError)
      : null;
    const step = target?.checkpoint?.manifest.step;
    if (step !== undefined && step < jobSpec.job.steps) return target;
  }
  return null;
}

/** `job.steps, device.*, …`: a section without a key stands for all of its own. */
const changeable = resumableKeys.map((key) => (key.includes('.') ? key : `${key}.*`)).join(', ');

/** What else a job consists of than its keys. */
export interface JobContents {
  /** Of the layer files as they are now, by file. */
  readonly codeHashes: Readonly<Record<string, string>>;
  readonly allowCodeChange: boolean;
  /** What is wrong with the texts as they are now: `sameTexts`. */
  readonly textChange: string | null;
}

/**
 * @throws LongscanError E-RESUME-DRIFT (exit code 2) with every difference between the job as it ran and as it is.
 */
export function refuseDrift(
  { runDir, checkpoint }: ResumeTarget,
  jobSpec: JobSpec,
  { codeHashes, allowCodeChange, textChange }: JobContents,
): void {
  // Of a run that begins anew no code has had a part in anything.
  const before = checkpoint?.manifest ?? { jobSpec: readPlan(runDir).jobSpec, codeHashes };
  const keys = findDrift(before.jobSpec, jobSpec).map(
    ({ key, before, now }) => `${key} was ${before} and is ${now}`,
  );
  const files = Object.keys({ ...before.codeHashes, ...codeHashes })
    .filter((file) => before.codeHashes[file] !== codeHashes[file])
    .map((file) => `the code of ${file} has changed`);
  // By other keys of its section it is another text, or another cut of it, as a matter of course.
  const texts = textChange === null || keys.some((key) => key.startsWith('data.')) ? [] : [textChange];
  const differences = [...keys, ...(allowCodeChange ? [] : files), ...texts];
  if (differences.length === 0) return;
  const ways = [
    ...(keys.length === 0 ? [] : ['set them back']),
    ...(files.length === 0 || allowCodeChange ? [] : ['add --allow-code-change']),
    ...(texts.length === 0 ? [] : ['give the text back as it was']),
  ];
  throw new LongscanError({
    code: 'E-RESUME-DRIFT',
    where: runDir,
    found: differences.join('; '),
    expected: `the job as it was; only ${changeable} may change`,
    fix: `${ways.join(' and ')}, or start a new run without --resume`,
    exitCode: 2,
  });
}

/** Committed checkpoints of a run, oldest first. */
export function committedOf(runDir: string): string[] {
  return listCheckpoints(runDir).flatMap(({ dir, isCommitted }) => (isCommitted ? [dir] : []));
}

/** The run that a path or a name means, and its checkpoint where it means one. */
function findNamed(given: string): { readonly runDir: string; readonly checkpointDir: string | null } {
  const path = [resolve(given), resolve(runsFolder, given)].find((one) => existsSync(one));
  if (path === undefined) {
    const expected = 'a run folder, the name of a run in runs/, or a checkpoint folder';
    const fix = 'leave --resume out to start a new run';
    throw none(`--resume=${given}`, 'nothing of that name', expected, fix);
  }
  const folder = dirname(path);
  const name = /^(step-\d+)(\.left(-\d+)?)?$/.exec(basename(path));
  if (name === null || basename(folder) !== runFiles.checkpoints)
    return { runDir: findRun(given), checkpointDir: null };
  // The folder of the checkpoints may be a symlink to another disk.
  const runDir = realpathSync(dirname(folder));
  const checkpointDir = join(runDir, runFiles.checkpoints, name[0]);
  if (name[2] === undefined) return { runDir, checkpointDir };
  throw none(
    checkpointDir,
    'a checkpoint that was set aside when the run went back to an earlier step',
    'a checkpoint of the course that the run is on',
    `give it back the name ${name[1]}, moving away what has it, and resume that`,
  );
}

function none(where: string, found: string, expected: string, fix: string): LongscanError {
  return new LongscanError({ code: 'E-CKPT-NONE', where, found, expected, fix, exitCode: 4 });
}

/** A run goes on in its own folder: another one would be a wish that is not obeyed. */
function refuseOtherFolder(given: string, resume: string, runDir: string): void {
  if (existsSync(given) && realpathSync(given) === runDir) return;
  throw usage(
    `--run-dir ${given}`,
    `not the folder of what --resume=${resume} names`,
    `${runDir}, in which that run goes on`,
    'leave --run-dir out; to keep that run as it is, copy its folder and resume the copy',
  );
}

async function newestOf(runDir: string): Promise<ResumeTarget> {
  const committed = committedOf(runDir);
  if (committed.length === 0) return beginningOf(runDir);
  const { checkpoint, manifest, skipped } = await latestValid(runDir);
  const errors = skipped.map(({ error }) => error);
  return { runDir, checkpoint: { dir: checkpoint.dir, manifest }, committed, skipped: errors };
}

/** A run that was ended before its first checkpoint, which is no reason to refuse it for ever; but not one that has lost them. */
async function beginningOf(runDir: string): Promise<ResumeTarget> {
  const { checkpoint: lost } = await readStatus(runDir);
  const left = listLeft(runDir).at(-1)?.dir;
  if (lost !== null || left !== undefined) {
    const found = left === undefined ? `no checkpoint, where it had ${lost}` : `no checkpoint but ${left}`;
    const fix = `${left === undefined ? 'put that back' : 'give that its name back (ckpt ls)'}, or start a new run without --resume in another folder`;
    throw none(runDir, found, 'a checkpoint to go on from', fix);
  }
  const cutOff = listCheckpoints(runDir).map(({ dir }) => verifyCheckpoint(dir).then(() => [], asSkipped));
  return { runDir, checkpoint: null, committed: [], skipped: (await Promise.all(cutOff)).flat() };
}

function asSkipped(error: unknown): LongscanError[] {
  if (error instanceof LongscanError && error.code !== 'E-DISK') return [error];
  throw error;
}

async function checkpointOf(runDir: string, checkpointDir: string): Promise<ResumeTarget> {
  const committed = committedOf(runDir);
  const checkpoint = { dir: checkpointDir, manifest: await verifyCheckpoint(checkpointDir) };
  return { runDir, checkpoint, committed, skipped: [] };
}

function isResumable(runDir: string, jobSpec: JobSpec): boolean {
  const record = readRecord(runDir);
  if (record !== null && isLive(record)) return false;
  try {
    return jobHash(readPlan(runDir).jobSpec) === jobHash(jobSpec);
  } catch (error) {
    return ignoreLongscanError(error) !== null;
  }
}

/** A run that is damaged is not the one that is looked for. One that the disk does not give may well be: an older one is no stand-in. */
function ignoreLongscanError(error: unknown): null {
  if (error instanceof LongscanError && error.code !== 'E-DISK') return null;
  throw error;
}
