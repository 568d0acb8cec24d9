import type { GatherTrace } from '@longscan/worker/protocol';
import type { Fabric } from './fabric.js';

/** What softmax attention costs in one step, whatever carries the states of recurrences. */
export interface GatherCost {
  readonly seconds: number;
  readonly bytesSentByRank: readonly number[];
}

/**
 * Keys and values go to every later rank that can see them, and their gradients take the way back. The last rank receives
 * most forward and sends most in reverse, so its link is what takes time. `units`: those of a rank, in deterministic mode.
 */
export function gatherCost(
  sp: number,
  gathers: readonly GatherTrace[],
  fabric: Fabric,
  units = 1,
): GatherCost {
  /** Part of an earlier rank's slice that a rank fetches which stands `distance` slices further. */
  const fetched = ({ sliceBytes, reachSlices }: GatherTrace, distance: number) =>
    sliceBytes * Math.min(1, Math.max(0, (reachSlices ?? sp) - (distance - 1)));
  const sum = (count: number, value: (i: number) => number) =>
    Array.from({ length: count }, (_, i) => value(i)).reduce((a, b) => a + b, 0);
  /** Gradients that a rank returns to one that stands `distance` slices before it: a message for each of its units. */
  const returned = (gather: GatherTrace, distance: number) =>
    sum(units, (unit) => fetched(gather, distance + unit / units));
  const bytesSentByRank = Array.from({ length: sp }, (_, rank) =>
    gathers.reduce((bytes, gather) => {
      const toLater = sum(sp - 1 - rank, (i) => fetched(gather, i + 1));
      const toEarlier = sum(rank, (i) => returned(gather, i + 1));
      return bytes + toLater + toEarlier;
    }, 0),
  );
  const seconds = gathers.map((gather) => {
    const bytes = sum(sp - 1, (i) => fetched(gather, i + 1) + returned(gather, i + 1));
    return sp === 1 ? 0 : 2 * fabric.latencyS + bytes / fabric.bandwidthBytesPerS;
  });
  return { seconds: seconds.reduce((a, b) => a + b, 0), bytesSentByRank };
}
