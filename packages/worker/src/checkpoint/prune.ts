import { readdirSync } from 'node:fs';
import path from 'node:path';
import type { DurableFs } from './durable-fs.js';
import { committedFile } from './files.js';
import { checkpointsFolder, listCheckpoints, replacedSuffix } from './list.js';

/** Suffix of the folder that a save writes in before it has its name. */
export const savingSuffix = '.saving';

/**
 * Removes what a save that has just committed `saved` made superfluous: debris of cut-off saves, checkpoints that
 * were replaced, and all but the newest `keep` (0: all are kept).
 */
export async function prune(runDir: string, saved: string, keep: number, fs: DurableFs): Promise<void> {
  await restoreReplaced(runDir, fs);
  const all = listCheckpoints(runDir);
  const committed = all.filter((entry) => entry.isCommitted && !entry.dir.endsWith(replacedSuffix));
  const kept = new Set([
    path.resolve(saved),
    ...committed.slice(keep === 0 ? 0 : -keep).map((entry) => entry.dir),
  ]);
  for (const { dir } of all) if (!kept.has(dir)) await removeCheckpoint(dir, fs);
  const folder = checkpointsFolder(runDir);
  for (const name of readdirSync(folder))
    if (name.endsWith(savingSuffix)) await fs.remove(path.join(folder, name));
}

/** Gives a replaced checkpoint its name back when the save that was to replace it was cut off. */
async function restoreReplaced(runDir: string, fs: DurableFs): Promise<void> {
  const all = listCheckpoints(runDir);
  for (const { dir, isCommitted } of all) {
    const original = dir.slice(0, -replacedSuffix.length);
    const isReplaced = all.some((entry) => entry.dir === original && entry.isCommitted);
    if (!dir.endsWith(replacedSuffix) || !isCommitted || isReplaced) continue;
    await fs.remove(original);
    await fs.rename(dir, original);
  }
}

/** The marker goes first, so that a removal cut in half leaves debris and never a damaged checkpoint. */
export async function removeCheckpoint(dir: string, fs: DurableFs): Promise<void> {
  await fs.remove(path.join(dir, committedFile));
  await fs.syncFolder(dir);
  await fs.remove(dir);
}
