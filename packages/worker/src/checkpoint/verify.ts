import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { LongscanError } from '@longscan/kernels/errors';
import { closedFolder, corrupt, noCheckpoint, none, partial, unreadable } from './errors.js';
import { committedFile, manifestFile, optimizerFile, parametersFile } from './files.js';
import { type CheckpointEntry, checkpointName, listCheckpoints, stepOfName } from './list.js';
import { readManifest } from './manifest.js';
import type { Manifest } from './parse-manifest.js';

/**
 * Reads a whole checkpoint and compares it with its manifest, and the manifest with COMMITTED and with the step that the
 * folder is named for. Returns the manifest.
 * Errors: E-CKPT-NONE, -PARTIAL, -CORRUPT, -VERSION, each naming the file and what it should have been;
 * E-DISK where a file is there and cannot be read.
 */
export async function verifyCheckpoint(dir: string): Promise<Manifest> {
  const names = await readdir(dir).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'ENOENT' && cause.code !== 'ENOTDIR') throw closedFolder(dir, cause);
    const found = cause.code === 'ENOENT' ? 'no such folder' : 'a file';
    throw none(dir, found, 'name the folder of a checkpoint, as in runs/latest/checkpoints/step-000500');
  });
  if (!names.includes(committedFile))
    throw partial(dir, `there is no ${committedFile}: the save was cut off`);
  const { manifest, bytes } = await readManifest(dir);
  const marker = path.join(dir, committedFile);
  const vouched = await readFile(marker, 'utf8').catch((cause) => {
    throw unreadable(marker, cause);
  });
  const found = createHash('sha256').update(bytes).digest('hex');
  if (vouched !== `${found}\n`)
    throw corrupt(path.join(dir, manifestFile), `sha256 ${found}`, `"${vouched.trim()}", as committed`);
  checkName(dir, manifest.step);
  for (const file of [parametersFile, optimizerFile])
    if (!Object.hasOwn(manifest.files, file)) throw corrupt(path.join(dir, file), 'not in the manifest');
  for (const [name, record] of Object.entries(manifest.files)) await verifyFile(path.join(dir, name), record);
  return manifest;
}

/** The newest checkpoint of a run that is whole, and the newer ones that are not, newest first, with the reason. */
export interface LatestValid {
  readonly checkpoint: CheckpointEntry;
  readonly manifest: Manifest;
  readonly skipped: readonly { readonly dir: string; readonly error: LongscanError }[];
}

/**
 * Looks for it from the newest back. When none is whole, throws the newest one's error. Only what a checkpoint holds is a reason to
 * pass it over: one that cannot be read (E-DISK) may be whole, and going on from an older one would set it aside.
 */
export async function latestValid(runDir: string): Promise<LatestValid> {
  const skipped: { dir: string; error: LongscanError }[] = [];
  for (const checkpoint of listCheckpoints(runDir).reverse()) {
    try {
      return { checkpoint, manifest: await verifyCheckpoint(checkpoint.dir), skipped };
    } catch (error) {
      if (!(error instanceof LongscanError) || !error.code.startsWith('E-CKPT-')) throw error;
      skipped.push({ dir: checkpoint.dir, error });
    }
  }
  throw skipped[0]?.error ?? noCheckpoint(runDir);
}

/** By its name a folder is listed, counted and found to be the newest; by its manifest a run goes on from it. */
function checkName(dir: string, step: number): void {
  const named = stepOfName(path.basename(dir));
  if (named === null || named === step) return;
  const found = `a checkpoint of step ${step} in a folder named for step ${named}`;
  throw corrupt(dir, found, `the name ${checkpointName(step)}`, 'give the folder its own name');
}

async function verifyFile(file: string, record: { bytes: number; sha256: string }): Promise<void> {
  const info = await stat(file).catch((cause: NodeJS.ErrnoException) => {
    throw cause.code === 'ENOENT'
      ? corrupt(file, 'the file is missing', `${record.bytes} bytes`)
      : unreadable(file, cause);
  });
  if (info.size !== record.bytes) throw corrupt(file, `${info.size} bytes`, `${record.bytes}`);
  const hash = createHash('sha256');
  try {
    for await (const block of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(block);
  } catch (cause) {
    throw unreadable(file, cause as NodeJS.ErrnoException);
  }
  const found = hash.digest('hex');
  if (found !== record.sha256) throw corrupt(file, `sha256 ${found}`, record.sha256);
}
