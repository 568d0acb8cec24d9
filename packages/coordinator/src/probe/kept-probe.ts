import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { JobSpec } from '@longscan/worker/protocol';
import { groupSize } from '../collectives/group-size.js';
import type { FabricFile } from '../fabric/fabric-file.js';
import { assumedFabric, isProbed } from '../fabric/load-fabric.js';
import { isSameMachine, thisMachine } from '../fabric/machine.js';
import { readFabricFile } from '../fabric/read-fabric-file.js';
import { nodeSize } from '../plan/nodes.js';
import { writeRunFile } from '../run-folder/run-folder.js';

/** The file in a folder that keeps what a probe between so many ranks has found: a fabric file like any other. */
function probeFile(numRanks: number): string {
  return `fabric-${numRanks}-ranks.json`;
}

/** Keeps what a probe has found in the folder of what was planned by it. @throws LongscanError E-DISK (exit code 3). */
export function keepProbe(folder: string, file: FabricFile): void {
  writeRunFile(folder, probeFile(file.measured!.numRanks), `${JSON.stringify(file, null, 2)}\n`);
}

/**
 * What an earlier probe has found in a folder, where it was of this job's ranks on this machine; null: there is none.
 * @throws LongscanError E-FABRIC and others for a file that cannot be read
 */
export function keptProbe(folder: string, job: Pick<JobSpec, 'parallel' | 'device'>): FabricFile | null {
  if (!isProbed(job)) return null;
  const path = join(folder, probeFile(groupSize(job)));
  if (!existsSync(path)) return null;
  const file = readFabricFile(path);
  const { measured, nodes } = file;
  const isOurs =
    measured !== undefined &&
    measured.engine === job.device.engine &&
    isSameMachine(measured.machine, thisMachine()) &&
    (nodes?.ranksPerNode ?? null) === unlikeNodes(job);
  return isOurs ? file : null;
}

/** Ranks of a node where links inside and between nodes are told apart; null: all are alike. */
function unlikeNodes(job: Pick<JobSpec, 'parallel' | 'device'>): number | null {
  const size = nodeSize(job, assumedFabric(job));
  return size === 1 || size >= groupSize(job) ? null : size;
}
