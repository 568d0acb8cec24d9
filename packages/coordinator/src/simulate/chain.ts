import {
  blockSeconds,
  type ChainEntry,
  type ChainLinkCost,
  type LinkCost,
  mappedChain,
  peerSlots,
} from '@longscan/worker';
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
 * before the next rank has read the one that was in its slot, which that rank says by a message of no bytes. From its launch to
 * its last block the kernel holds the communicator's stream; for the time of each block it holds the ports that it crosses.
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
  const neighbour = (peer: number) => (peer >= 0 && peer < size ? peer : null);
  const [prev, next] = [neighbour(rank - step), neighbour(rank + step)];
  const over: LinkCost = { latencyS: link.latencyS, gapS: 0, bandwidthBytesPerS: link.bandwidthBytesPerS };
  const isBlock = (i: number) => i >= 0 && i < blocks.length;
  const message = (peer: number | null, length: number, isThere: boolean): SimulatedMessage[] =>
    peer === null || !isThere ? [] : [{ peer, bytes: length, link: over }];
  /** Block i, to or from a rank; and that it was read, if its slot is needed again. */
  const block = (peer: number | null, i: number) => message(peer, blocks[i] ?? 0, isBlock(i));
  const wasRead = (peer: number | null, i: number) => message(peer, 0, isBlock(i) && isBlock(i + peerSlots));
  const applies = prev !== null && next !== null;
  const steps: ChainStep[] = [{ kind: 'busy', seconds: link.launchS }];
  for (let i = 0; i <= blocks.length; i++) {
    steps.push({
      kind: 'exchange',
      sends: [...block(next, i - 1), ...wasRead(prev, i - 1)],
      recvs: [...block(prev, i), ...wasRead(next, i - peerSlots)],
    });
    if (applies && isBlock(i))
      steps.push({ kind: 'busy', seconds: blockSeconds(blocks[i]!, chain, link).applyS });
  }
  return steps.filter((one) =>
    one.kind === 'busy' ? one.seconds > 0 : one.sends.length + one.recvs.length > 0,
  );
}
