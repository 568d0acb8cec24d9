import type { JobSpec } from '@longscan/worker/protocol';
import type { Fabric } from '../fabric/fabric.js';

/** The keys of a job that say which ranks share a node. */
export type NodeKeys = Pick<JobSpec, 'parallel'>;

/** Neighbouring ranks that share a node, which need not be of one sequence. Null: all of them do. */
export function ranksOfNode(
  { parallel: { ranksPerNode } }: NodeKeys,
  fabric: Pick<Fabric, 'nodes'>,
): number | null {
  // The launchers that there are start all ranks on one host, unless the fabric has several.
  return ranksPerNode === 'auto' ? (fabric.nodes?.ranksPerNode ?? null) : ranksPerNode;
}

/** Neighbouring ranks of a sequence that share a node. */
export function nodeSize(job: NodeKeys, fabric: Pick<Fabric, 'nodes'>): number {
  const { sp } = job.parallel;
  return Math.min(sp, ranksOfNode(job, fabric) ?? sp);
}

/** Whether every sequence has its ranks in whole nodes, or all in one. */
export function fillsNodes(job: NodeKeys, fabric: Pick<Fabric, 'nodes'>): boolean {
  const { sp, dp } = job.parallel;
  const size = ranksOfNode(job, fabric);
  if (size === null || size >= sp * dp) return true;
  return sp % size === 0 || size % sp === 0;
}

/** What links there are between the ranks of a sequence; between nodes of a fabric without any, they are as inside. */
export function withNodes(fabric: Fabric, job: NodeKeys): Fabric {
  return linking(job.parallel.sp, fabric, nodeSize(job, fabric));
}

/** The same between all ranks of the job, over which gradients are summed. */
export function withNodesOfJob(fabric: Fabric, job: NodeKeys): Fabric {
  const numRanks = job.parallel.sp * job.parallel.dp;
  return linking(numRanks, fabric, ranksOfNode(job, fabric) ?? numRanks);
}

function linking(numRanks: number, fabric: Fabric, ranksPerNode: number): Fabric {
  const { nodes, ...inside } = fabric;
  if (ranksPerNode < numRanks)
    return { ...inside, nodes: { ranksPerNode, between: nodes?.between ?? inside } };
  return nodes === undefined ? fabric : inside;
}
