import { type PeerMemory, peerMemoryFromEnv } from '@longscan/worker';
import type { ChainPlan, JobSpec } from '@longscan/worker/protocol';
import type { Fabric } from '../fabric/fabric.js';
import { type NodeKeys, ranksOfNode } from './nodes.js';

/**
 * How chains over the ranks of a sequence will go, by what decides it when ranks connect (`PeerChains::agree`), as far as a job and
 * its links say; and whether their time can be counted so. Null where there is nothing but messages, or nobody to send any.
 *
 * @param units Segments that a rank holds; more than 1 in deterministic mode only.
 * @param peerMemory What ranks will be told; default: LONGSCAN_PEER_MEMORY here.
 * @throws LongscanError E-PEER-MEMORY (exit code 2) if that is no word of ours
 */
export function chainCarrier(
  job: NodeKeys & { readonly device: Pick<JobSpec['device'], 'engine'> },
  fabric: Pick<Fabric, 'name' | 'nodes' | 'chains'>,
  units = 1,
  peerMemory?: PeerMemory,
): ChainPlan | null {
  const { sp } = job.parallel;
  if (sp === 1 || job.device.engine !== 'nccl') return null;
  const messages = (reason: string): ChainPlan => ({ carrier: 'messages', reason });
  const word = peerMemory ?? peerMemoryFromEnv();
  if (word === 'off') return messages('LONGSCAN_PEER_MEMORY is "off"');
  const size = ranksOfNode(job, fabric);
  if (size !== null && !isInOneNode(job, size))
    return messages(`the ${sp} ranks of a sequence are on several hosts, ${size} on each`);
  if (units > 1) return messages('deterministic mode hands states on unit by unit');
  if (fabric.chains === undefined)
    return messages(
      `counted so, since "${fabric.name}" says nothing of mapped memory; "longscan bench collectives --save" measures it`,
    );
  return { carrier: 'mapped-memory', reason: `one host, LONGSCAN_PEER_MEMORY is "${word}"` };
}

/** Whether every sequence has all its ranks on one host, `size` neighbouring ones of the job on each. */
function isInOneNode({ parallel: { sp, dp } }: NodeKeys, size: number): boolean {
  return size >= sp * dp || size % sp === 0;
}

/** The links as chains meet them: without what is known of mapped memory where they go as messages. */
export function withCarrier(fabric: Fabric, chains: ChainPlan | null): Fabric {
  if (chains?.carrier === 'mapped-memory' || fabric.chains === undefined) return fabric;
  const { chains: _, ...links } = fabric;
  return links;
}
