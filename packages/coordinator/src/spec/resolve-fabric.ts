import { resolve } from 'node:path';
import { LongscanError } from '@longscan/worker/protocol';
import { fabricWords, isFabricPath, loadFabric } from '../fabric/load-fabric.js';
import type { MergedJob } from './merge.js';
import { JobErrors, type ProblemList } from './problems.js';

/**
 * `parallel.fabric` with a path made absolute. Adds what is wrong with it, or with the file that it names: whoever plans the
 * job reads that file.
 */
export function resolveFabric(
  fabric: string,
  merged: MergedJob,
  baseDir: string,
  problems: ProblemList,
): string {
  if (fabricWords.includes(fabric)) return fabric;
  const resolved = isFabricPath(fabric) ? resolve(baseDir, fabric) : fabric;
  try {
    loadFabric(resolved);
  } catch (error) {
    if (!(error instanceof LongscanError)) throw error;
    for (const problem of error instanceof JobErrors ? error.problems : [error]) {
      // What is wrong inside the file is told with its place there.
      const isInFile = problem.code === 'E-FABRIC' || problem.code === 'E-CFG-PARSE';
      const where = merged.placeOf(['parallel', 'fabric']);
      if (isInFile) problems.addError(problem);
      else problems.add({ ...problem.parts, where: isFabricPath(fabric) ? `${where}: ${resolved}` : where });
    }
  }
  return resolved;
}
