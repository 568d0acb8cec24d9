import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import path from 'node:path';
import { LongscanError } from '@longscan/kernels/errors';
import { writeRemedies } from '../protocol/disk-remedies.js';
import { type DurableFs, nodeFs, writeDurably } from './durable-fs.js';
import { committedFile, formatVersion, manifestFile, optimizerFile, parametersFile } from './files.js';
import { checkpointName, checkpointsFolder, listCheckpoints, replacedSuffix } from './list.js';
import type { Manifest } from './parse-manifest.js';
import { prune, removeCheckpoint, savingSuffix } from './prune.js';
import { safetensorsBytes, type TensorEntries, writeSafetensors } from './safetensors-writer.js';

/** All that a run needs to go on. Holds no trace of the number of ranks: every rank has all of it. */
export interface CheckpointContent {
  /** In the model's order: their names and shapes become the signature. */
  readonly parameters: TensorEntries;
  /** Moments, named `<parameter>.m` and `<parameter>.v`, and master weights where parameters are bf16. */
  readonly optimizer: TensorEntries;
  readonly trainer: Manifest['trainer'];
}

/** What else the manifest records. */
export type SaveContext = Pick<
  Manifest,
  'step' | 'world' | 'jobSpec' | 'jobHash' | 'codeHashes' | 'texts' | 'data'
>;

export interface SaveOptions {
  /** Newest checkpoints kept; 0 keeps all, 1 is refused. */
  readonly keep: number;
  readonly fs?: DurableFs;
}

/**
 * Writes a checkpoint of `runDir` and returns its folder. Called by one rank only.
 *
 * Everything is written and synced in a folder of another name, which is then renamed; COMMITTED comes last. So at
 * every moment each folder that carries COMMITTED is whole, and killing the process or cutting the power loses at
 * most the checkpoint being written. A run's folder that has been removed is not made again: nothing could go on from
 * checkpoints alone. Errors: E-CKPT-KEEP; E-DISK, after which every committed checkpoint is still whole.
 */
export async function saveCheckpoint(
  runDir: string,
  content: CheckpointContent,
  context: SaveContext,
  { keep, fs = nodeFs }: SaveOptions,
): Promise<string> {
  checkKeep(keep);
  const folder = checkpointsFolder(runDir);
  const target = path.join(folder, checkpointName(context.step));
  const temporary = path.join(folder, checkpointName(context.step) + savingSuffix);
  try {
    await fs.makeFolder(folder);
    await fs.syncFolder(runDir);
    await fs.remove(temporary);
    await fs.makeFolder(temporary);
    const manifestSha256 = await writeFiles(fs, temporary, content, context);
    await fs.syncFolder(temporary);
    await makeRoom(fs, runDir, target);
    await fs.rename(temporary, target);
    await fs.syncFolder(folder);
    await commit(fs, target, manifestSha256);
  } catch (cause) {
    // Only tidiness: debris is recognised as such whether or not it can be removed.
    await fs.remove(temporary).catch(() => {});
    throw existsSync(runDir) ? await describeFailure(cause, folder, content) : removed(runDir, cause);
  }
  await prune(runDir, target, keep, fs).catch(async (cause) => {
    throw await describeFailure(cause, folder, content);
  });
  return target;
}

/** Writes the tensors and the manifest; returns the manifest's sha256 in hex. */
async function writeFiles(
  fs: DurableFs,
  dir: string,
  content: CheckpointContent,
  context: SaveContext,
): Promise<string> {
  const { parameters, optimizer, trainer } = content;
  const files = {
    [parametersFile]: await writeSafetensors(fs, path.join(dir, parametersFile), parameters),
    [optimizerFile]: await writeSafetensors(fs, path.join(dir, optimizerFile), optimizer),
  };
  const signature = [...parameters].map(([name, { dtype, shape }]) => ({ name, dtype, shape: [...shape] }));
  const manifest: Manifest = { formatVersion, ...context, signature, trainer, files };
  const bytes = Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`);
  await writeDurably(fs, path.join(dir, manifestFile), (file) => file.write(bytes));
  return createHash('sha256').update(bytes).digest('hex');
}

/** Renamed into place like the rest, so that nobody ever sees half a marker. */
async function commit(fs: DurableFs, target: string, manifestSha256: string): Promise<void> {
  const marker = path.join(target, committedFile);
  await writeDurably(fs, marker + savingSuffix, (file) => file.write(Buffer.from(`${manifestSha256}\n`)));
  await fs.rename(marker + savingSuffix, marker);
  await fs.syncFolder(target);
}

/**
 * Frees the target's name. A committed checkpoint of the same step (training went back and came here again) keeps its
 * marker under another name until the new one is committed: it may be the only one.
 */
async function makeRoom(fs: DurableFs, runDir: string, target: string): Promise<void> {
  const present = new Map(listCheckpoints(runDir).map((entry) => [entry.dir, entry]));
  const sameStep = present.get(path.resolve(target));
  if (sameStep === undefined) return;
  if (!sameStep.isCommitted) {
    await fs.remove(target);
    return;
  }
  if (present.has(path.resolve(target + replacedSuffix))) await removeCheckpoint(target + replacedSuffix, fs);
  await fs.rename(target, target + replacedSuffix);
}

function checkKeep(keep: number): void {
  if (keep !== 1) return;
  throw new LongscanError({
    code: 'E-CKPT-KEEP',
    where: 'checkpoint.keep',
    found: '1',
    expected: '0 (all) or at least 2: the newest one may turn out to be damaged',
    fix: 'set checkpoint.keep = 2',
    exitCode: 2,
  });
}

/** Somebody removed or renamed the folder while the run was under way. */
function removed(runDir: string, cause: unknown): LongscanError {
  return new LongscanError({
    code: 'E-DISK',
    where: runDir,
    found: 'the folder of the run is no longer there',
    expected: 'the folder that the run was started with, until it has ended',
    fix: 'leave the folders of runs under way where they are; what has another name now can be resumed from its last checkpoint',
    exitCode: 3,
    cause,
  });
}

const remedies: Readonly<Record<string, string>> = {
  ...writeRemedies,
  ENOENT: 'leave what a run under way writes where it is',
};

/** Names the disk's state when the disk is the reason. */
async function describeFailure(cause: unknown, folder: string, content: CheckpointContent): Promise<unknown> {
  const { code } = cause as NodeJS.ErrnoException;
  const remedy = code === undefined ? undefined : remedies[code];
  if (remedy === undefined) return cause;
  const neededBytes = safetensorsBytes(content.parameters) + safetensorsBytes(content.optimizer);
  const disk = await statfs(folder).catch(() => null);
  const free = disk === null ? '' : `, ${disk.bavail * disk.bsize} bytes free`;
  return new LongscanError({
    code: 'E-DISK',
    where: folder,
    found: `the checkpoint could not be written (${code}${free})`,
    expected: `a writable folder with ${neededBytes} bytes free`,
    fix: `${remedy}, or choose another --run-dir; the checkpoints committed before are whole`,
    exitCode: 3,
    cause,
  });
}
