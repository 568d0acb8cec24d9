import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import type { LongscanError } from '@longscan/kernels';
import { corrupt, noCheckpoint, none, partial } from './errors.js';
import { type CheckpointEntry, listCheckpoints } from './list.js';
import { committedFile, type Manifest, manifestFile, readManifest } from './manifest.js';

/**
 * Reads a whole checkpoint and compares it with its manifest, and the manifest with COMMITTED. Returns the manifest.
 * Errors: E-CKPT-NONE, -PARTIAL, -CORRUPT, -VERSION, each naming the file and what it should have been.
 */
export async function verifyCheckpoint(dir: string): Promise<Manifest> {
  const names = await readdir(dir).catch(() => {
    throw none(
      dir,
      'no such folder',
      'name the folder of a checkpoint, as in runs/latest/checkpoints/step-000500',
    );
  });
  if (!names.includes(committedFile))
    throw partial(dir, `there is no ${committedFile}: the save was cut off`);
  const { manifest, bytes } = await readManifest(dir);
  const vouched = await readFile(path.join(dir, committedFile), 'utf8');
  const found = createHash('sha256').update(bytes).digest('hex');
  if (vouched !== `${found}\n`)
    throw corrupt(path.join(dir, manifestFile), `sha256 ${found}`, `${vouched.trim()}, as committed`);
  for (const [name, record] of Object.entries(manifest.files)) await verifyFile(path.join(dir, name), record);
  return manifest;
}

/** The newest checkpoint of a run that is whole, and the newer ones that are not, newest first, with the reason. */
export interface LatestValid {
  readonly checkpoint: CheckpointEntry;
  readonly manifest: Manifest;
  readonly skipped: readonly { readonly dir: string; readonly error: LongscanError }[];
}

/** Looks for it from the newest back. When none is whole, throws the newest one's error. */
export async function latestValid(runDir: string): Promise<LatestValid> {
  const skipped: { dir: string; error: LongscanError }[] = [];
  for (const checkpoint of listCheckpoints(runDir).reverse()) {
    try {
      return { checkpoint, manifest: await verifyCheckpoint(checkpoint.dir), skipped };
    } catch (error) {
      skipped.push({ dir: checkpoint.dir, error: error as LongscanError });
    }
  }
  throw skipped[0]?.error ?? noCheckpoint(runDir);
}

async function verifyFile(file: string, record: { bytes: number; sha256: string }): Promise<void> {
  const info = await stat(file).catch(() => null);
  if (info === null) throw corrupt(file, 'the file is missing', `${record.bytes} bytes`);
  if (info.size !== record.bytes) throw corrupt(file, `${info.size} bytes`, `${record.bytes}`);
  const hash = createHash('sha256');
  try {
    for await (const block of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(block);
  } catch (cause) {
    throw corrupt(file, `cannot be read (${(cause as Error).message})`);
  }
  const found = hash.digest('hex');
  if (found !== record.sha256) throw corrupt(file, `sha256 ${found}`, record.sha256);
}
