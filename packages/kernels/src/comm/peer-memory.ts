import { LongscanError } from '../errors.js';
import { nativeSegment } from '../ops/transition/index.js';
import type { SegmentSummary } from '../recurrence-op.js';
import type { Tensor } from '../tensor.js';
import { NativeCommunicator } from './communicator.js';

/** Whether chains go through memory that neighbours have mapped: not, wherever that can be, or else the group fails. */
export type PeerMemory = 'off' | 'allowed' | 'required';

/** The numbers of `PeerMode` in peer/peer_chains.h; 0: the group has no chains. */
export const peerModes: Readonly<Record<PeerMemory, number>> = { off: 1, allowed: 2, required: 3 };

/** What carries the chains of a connected group: memory that neighbours have mapped, or messages. */
export type ChainCarrier =
  | { readonly carrier: 'mapped-memory' }
  | {
      readonly carrier: 'messages';
      /** Whether this rank asked for nothing else. */
      readonly isChosen: boolean;
      /** The same on all ranks. */
      readonly reason: string;
    };

/** How chains go, to stand behind that word. */
export function describeCarrier(chains: ChainCarrier): string {
  return chains.carrier === 'mapped-memory'
    ? "through the neighbours' mapped memory"
    : `over NCCL: ${chains.reason}`;
}

/**
 * What LONGSCAN_PEER_MEMORY says; without it, `allowed`.
 * @throws LongscanError E-PEER-MEMORY if it is none of the words
 */
export function peerMemoryFromEnv(env: NodeJS.ProcessEnv = process.env): PeerMemory {
  const word = env.LONGSCAN_PEER_MEMORY ?? '';
  if (word === '') return 'allowed';
  if (Object.hasOwn(peerModes, word)) return word as PeerMemory;
  throw new LongscanError({
    code: 'E-PEER-MEMORY',
    where: 'LONGSCAN_PEER_MEMORY',
    found: JSON.stringify(word),
    expected: Object.keys(peerModes).join(', '),
    fix: 'use one of these, or unset it',
    exitCode: 2,
  });
}

/** A group whose chains are one kernel on each rank. */
export class PeerCommunicator extends NativeCommunicator {
  chain(segment: SegmentSummary, incoming: Tensor | null, step: 1 | -1): void {
    const { device } = this.stream;
    const ids = [incoming?.id ?? null, step] as const;
    this.native.commChain(this.stream.id, this.id, ...nativeSegment(segment), ...ids);
    if (incoming === null || this.rank === (step === 1 ? this.size - 1 : 0)) return;
    const { state, kind } = segment;
    device.flops += 2 * state.size * (kind === 'dense' ? state.dim(-1) : 1);
  }
}
