import { isDeepStrictEqual } from 'node:util';
import { checkpointsFolder, type LeftCheckpoint, leaveCheckpoints } from '@longscan/worker/checkpoint';
import { LongscanError } from '@longscan/worker/protocol';
import { asDiskError } from './on-disk.js';
import { committedOf, type ResumeTarget } from './resume.js';

/** Most names told of one by one. */
const maxNames = 6;

/**
 * Sets aside what a run has saved beyond the checkpoint that it goes on from. For the holder of the run folder, once
 * nothing else can refuse the launch; from the newest checkpoint on there is nothing to set aside but damaged ones.
 *
 * @returns what is to be told of it; null when there was nothing.
 * @throws LongscanError E-LOCK when another launch has saved or removed checkpoints since the target was looked for,
 * E-DISK; both exit code 3, and nothing has been renamed.
 */
export async function leaveCourse(
  target: ResumeTarget,
): Promise<{ readonly code: string; readonly message: string } | null> {
  const { runDir, checkpoint, committed } = target;
  const step = checkpoint?.manifest.step ?? 0;
  if (!isDeepStrictEqual(committedOf(runDir), committed)) throw changed(runDir);
  try {
    const left = await leaveCheckpoints(runDir, step);
    return left.length === 0 ? null : { code: 'I-CKPT-LEFT', message: describe(left, step) };
  } catch (error) {
    throw asDiskError((error as NodeJS.ErrnoException).path ?? checkpointsFolder(runDir), error);
  }
}

function describe(left: readonly LeftCheckpoint[], step: number): string {
  const names = left.map(({ leftName }) => leftName);
  const listed =
    names.length <= maxNames ? names.join(', ') : `${names[0]} … ${names.at(-1)} (${names.length} of them)`;
  return `goes on from step ${step}: the checkpoints of later steps are now ${listed}; none is resumed from, counted or removed until it has its name back`;
}

function changed(runDir: string): LongscanError {
  return new LongscanError({
    code: 'E-LOCK',
    where: checkpointsFolder(runDir),
    found: 'its checkpoints have changed since this launch looked for the one to resume',
    expected: 'one launch at a time',
    fix: 'start it again: it will go by those that are there now',
    exitCode: 3,
  });
}
