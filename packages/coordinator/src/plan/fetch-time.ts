import type { FetchTrace } from '@longscan/worker/protocol';
import type { Fabric } from '../fabric/fabric.js';

export interface FetchCost {
  readonly seconds: number;
  readonly bytesSentByRank: readonly number[];
}

/**
 * What attention to both sides costs in one step: keys and values go to every rank that sees them, and their gradients take
 * the way back. Who sees others is seen by them, so a rank sends as much one way as the other.
 */
export function fetchCost(sp: number, fetches: readonly FetchTrace[], fabric: Fabric): FetchCost {
  /** Part of a rank's slice that one `distance` slices away fetches. */
  const part = ({ sliceBytes, reachSlices }: FetchTrace, distance: number) =>
    sliceBytes * Math.min(1, Math.max(0, (reachSlices ?? sp) - (distance - 1)));
  const sent = (rank: number, fetch: FetchTrace) => {
    let bytes = 0;
    for (let peer = 0; peer < sp; peer++) if (peer !== rank) bytes += 2 * part(fetch, Math.abs(peer - rank));
    return bytes;
  };
  const bytesSentByRank = Array.from({ length: sp }, (_, rank) =>
    fetches.reduce((bytes, fetch) => bytes + sent(rank, fetch), 0),
  );
  const most = Math.max(...bytesSentByRank);
  const seconds = sp === 1 ? 0 : 2 * fetches.length * fabric.latencyS + most / fabric.bandwidthBytesPerS;
  return { seconds, bytesSentByRank };
}
