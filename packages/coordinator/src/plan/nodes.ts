import type { JobSpec } from '@longscan/worker/protocol';
import type { Fabric } from '../fabric/fabric.js';

/** The keys of a job that say which ranks share a node. */
export type NodeKeys = Pick<JobSpec, 'parallel'>;

/** Neighbouring ranks of a sequence that share a node. */
export function nodeSize({ parallel: { sp, ranksPerNode } }: NodeKeys): number {
  // The launchers that there are start all ranks on one host.
  return ranksPerNode === 'auto' ? sp : Math.min(sp, ranksPerNode);
}

/** Whether every sequence has its ranks in whole nodes, or all in one. */
export function fillsNodes({ parallel: { sp, dp, ranksPerNode } }: NodeKeys): boolean {
  if (ranksPerNode === 'auto' || ranksPerNode >= sp * dp) return true;
  return sp % ranksPerNode === 0 || ranksPerNode % sp === 0;
}

/** What links there are between a job's ranks; between nodes they are what is known of the others. */
export function withNodes(fabric: Fabric, job: NodeKeys): Fabric {
  const ranksPerNode = nodeSize(job);
  return ranksPerNode < job.parallel.sp ? { ...fabric, nodes: { ranksPerNode, between: fabric } } : fabric;
}
