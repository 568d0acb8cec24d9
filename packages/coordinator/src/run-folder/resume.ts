import { existsSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { latestValid, type Manifest, verifyCheckpoint } from '@longscan/worker/checkpoint';
import { type JobSpec, LongscanError, resumableKeys } from '@longscan/worker/protocol';
import { findDrift, jobHash } from '../spec/index.js';
import { isLive, readRecord } from './coordinator-record.js';
import { findRun, listRuns, readPlan } from './find-run.js';
import { runFiles, runsFolder } from './run-folder.js';

/** A run to be continued, and the checkpoint it is continued from. */
export interface ResumeTarget {
  readonly runDir: string;
  readonly checkpointDir: string;
  readonly manifest: Manifest;
  /** Newer checkpoints that are not whole, each with the reason. */
  readonly skipped: readonly LongscanError[];
}

export interface ResumeOptions {
  /** `auto`, a run, or a checkpoint folder of a run. */
  readonly resume: string;
  /** Folder of the run, when `resume` is `auto`. */
  readonly runDir: string | undefined;
  readonly jobSpec: JobSpec;
}

/**
 * Finds what `--resume` means. `auto` is the newest run of the same job hash that has a checkpoint before the job's
 * last step and is not running; null when there is none.
 *
 * @throws LongscanError E-RUN-NONE, E-CKPT-NONE and the other E-CKPT-* for a run that was named.
 */
export async function findResumeTarget({
  resume,
  runDir,
  jobSpec,
}: ResumeOptions): Promise<ResumeTarget | null> {
  if (resume !== 'auto') return namedTarget(resume);
  if (runDir !== undefined)
    return existsSync(resolve(runDir, runFiles.plan)) ? newestOf(resolve(runDir)) : null;
  for (const name of listRuns()) {
    const candidate = resolve(runsFolder, name);
    const target = isResumable(candidate, jobSpec)
      ? await newestOf(candidate).catch(ignoreLongscanError)
      : null;
    if (target !== null && target.manifest.step < jobSpec.job.steps) return target;
  }
  return null;
}

/** `job.steps, device.*, …`: a section without a key stands for all of its own. */
const changeable = resumableKeys.map((key) => (key.includes('.') ? key : `${key}.*`)).join(', ');

/**
 * @param codeHashes Of the layer files as they are now, by file.
 * @throws LongscanError E-RESUME-DRIFT (exit code 2) with every difference between the job as it ran and as it is.
 */
export function refuseDrift(
  { runDir, manifest }: ResumeTarget,
  jobSpec: JobSpec,
  codeHashes: Readonly<Record<string, string>>,
  allowCodeChange: boolean,
): void {
  const keys = findDrift(manifest.jobSpec, jobSpec).map(
    ({ key, before, now }) => `${key} was ${before} and is ${now}`,
  );
  const files = Object.keys({ ...manifest.codeHashes, ...codeHashes })
    .filter((file) => manifest.codeHashes[file] !== codeHashes[file])
    .map((file) => `the code of ${file} has changed`);
  const differences = [...keys, ...(allowCodeChange ? [] : files)];
  if (differences.length === 0) return;
  const ways = [
    ...(keys.length === 0 ? [] : ['set them back']),
    ...(files.length === 0 || allowCodeChange ? [] : ['add --allow-code-change']),
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

async function namedTarget(given: string): Promise<ResumeTarget> {
  const path = resolve(given);
  if (!existsSync(path) && !existsSync(resolve(runsFolder, given))) throw nothingThere(given);
  if (/^step-\d+$/.test(basename(path)) && basename(dirname(path)) === runFiles.checkpoints) {
    const manifest = await verifyCheckpoint(path);
    return { runDir: dirname(dirname(path)), checkpointDir: path, manifest, skipped: [] };
  }
  return newestOf(findRun(given));
}

function nothingThere(given: string): LongscanError {
  return new LongscanError({
    code: 'E-CKPT-NONE',
    where: `--resume=${given}`,
    found: 'nothing of that name',
    expected: 'a run folder, the name of a run in runs/, or a checkpoint folder',
    fix: 'leave --resume out to start a new run',
    exitCode: 4,
  });
}

async function newestOf(runDir: string): Promise<ResumeTarget> {
  const { checkpoint, manifest, skipped } = await latestValid(runDir);
  return { runDir, checkpointDir: checkpoint.dir, manifest, skipped: skipped.map(({ error }) => error) };
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

/** A run that cannot be read is not the one that is looked for. */
function ignoreLongscanError(error: unknown): null {
  if (error instanceof LongscanError) return null;
  throw error;
}
