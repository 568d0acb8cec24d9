import { readdirSync } from 'node:fs';
import path from 'node:path';
import { type DurableFs, nodeFs } from './durable-fs.js';
import { checkpointName, checkpointsFolder, leftSuffix, listCheckpoints } from './list.js';

/** A checkpoint that was set aside: its name in `checkpoints/` before and after. */
export interface LeftCheckpoint {
  readonly name: string;
  readonly leftName: string;
}

/**
 * Sets the committed checkpoints of a run beyond `step` aside, as `step-000010.left`: the run goes on from `step`, and
 * what it has done beyond is no longer of its course. They would be the newest otherwise, and be kept in place of those
 * to come. Nothing is removed, and one that is given its name back is a checkpoint as before.
 *
 * The oldest goes first. So the newest is the one that it was until the last has gone, and cut off at any moment this has
 * either changed nothing about where the run goes on or is done. What fails is undone before the error is thrown on.
 */
export async function leaveCheckpoints(
  runDir: string,
  step: number,
  fs: DurableFs = nodeFs,
): Promise<LeftCheckpoint[]> {
  // Debris keeps its name, by which the next save finds and removes it.
  const beyond = listCheckpoints(runDir).filter((entry) => entry.step > step && entry.isCommitted);
  if (beyond.length === 0) return [];
  const folder = checkpointsFolder(runDir);
  const taken = new Set(readdirSync(folder));
  const left: LeftCheckpoint[] = [];
  try {
    for (const entry of beyond) {
      const leftName = freeName(`${checkpointName(entry.step)}${leftSuffix}`, taken);
      const name = path.basename(entry.dir);
      await fs.rename(entry.dir, path.join(folder, leftName));
      taken.add(leftName);
      left.push({ name, leftName });
    }
    await fs.syncFolder(folder);
  } catch (error) {
    // One that cannot be given its name back stays set aside; why it came to this is what the caller has to know.
    for (const { name, leftName } of left.reverse())
      await fs.rename(path.join(folder, leftName), path.join(folder, name)).catch(() => {});
    throw error;
  }
  return left;
}

function freeName(name: string, taken: ReadonlySet<string>): string {
  for (let number = 2, free = name; ; number++) {
    if (!taken.has(free)) return free;
    free = `${name}-${number}`;
  }
}
