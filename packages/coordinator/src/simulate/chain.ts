import { blockSeconds, type ChainEntry, type ChainLinkCost, mappedChain, peerSlots } from '@longscan/worker';
import type { SimulatedMessage } from './program.js';

/** What a rank does in a chain, one after the other: for so long nothing but itself, or messages. */
export type ChainStep =
  | { readonly kind: 'busy'; readonly seconds: number }
  | {
      readonly kind: 'exchange';
      readonly sends: readonly SimulatedMessage[];
      readonly recvs: readonly SimulatedMessage[];
    };

/**
 * The kernel of one rank of a group in a chain through mapped memory (`comm/peer/chain.cu`). Its lanes keep step, so that a block of
 * each is one message: it waits for one, applies its own M, hands it on and takes the next. As in the kernel a block is not written
 * before the next rank has read the one that was in its slot. To its last block the kernel holds the communicator's stream; for the
 * time of each block it holds the ports that it crosses.
 */
export function chainSteps(
  entry: ChainEntry,
  { rank, size }: { readonly rank: number; readonly size: number },
  link: ChainLinkCost,
): ChainStep[] {
  const { step, bytes, rows, isDense } = entry;
  const chain = mappedChain({ state: bytes, rows, kind: isDense ? 'dense' : 'identity' });
  if (chain === null) throw new TypeError('a state in a chain that it does not fit');
  const { blocks } = chain;
  const begin = step === 1 ? 0 : size - 1;
  const neighbour = (peer: number) => (peer >= 0 && peer < size ? peer : null);
  const [prev, next] = [neighbour(rank - step), neighbour(rank + step)];
  const before = hopOf(prev, prev === begin, blocks, link);
  const behind = hopOf(next, rank === begin, blocks, link);
  const steps: ChainStep[] = [];
  for (let i = 0; i <= blocks.length; i++) {
    const sends = [...behind.block(i - 1), ...before.wasRead(i - 1)];
    const recvs = [...before.block(i), ...behind.wasRead(i - behind.numSlots)];
    if (sends.length + recvs.length > 0) steps.push({ kind: 'exchange', sends, recvs });
    const { applyS } = blockSeconds(blocks[i] ?? 0, chain, link);
    if (prev !== null && next !== null && applyS > 0) steps.push({ kind: 'busy', seconds: applyS });
  }
  return steps;
}

/** Between two ranks of a chain, as one of them sees it: `peer` is the other, null where there is none. */
interface Hop {
  /** Blocks that may be under way. */
  readonly numSlots: number;
  /** Block i, if there is one. */
  block(i: number): SimulatedMessage[];
  /** A word the other way, that block i was read, if a later one goes into its slot. */
  wasRead(i: number): SimulatedMessage[];
}

/**
 * Ranks launch beside each other, and the host is ahead of streams that have other work: so the launch is part of the first hop's
 * latency, as a message's is of its own. A kernel would hand on nothing meanwhile, so that the first hop has as many slots more.
 */
function hopOf(peer: number | null, isFirst: boolean, blocks: readonly number[], link: ChainLinkCost): Hop {
  const { latencyS, bandwidthBytesPerS } = link;
  const launchS = isFirst ? link.launchS : 0;
  const numSlots = peerSlots + Math.ceil((launchS * bandwidthBytesPerS) / blocks[0]!);
  const isBlock = (i: number) => i >= 0 && i < blocks.length;
  const message = (bytes: number, after: number): SimulatedMessage[] =>
    peer === null ? [] : [{ peer, bytes, link: { latencyS: after, gapS: 0, bandwidthBytesPerS } }];
  return {
    numSlots,
    block: (i) => (isBlock(i) ? message(blocks[i]!, latencyS + launchS) : []),
    wasRead: (i) => (isBlock(i) && isBlock(i + numSlots) ? message(0, latencyS) : []),
  };
}
