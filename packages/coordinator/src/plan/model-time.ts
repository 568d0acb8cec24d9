import type { ModelledStrategy, ModelTrace } from '@longscan/worker/protocol';
import type { Fabric } from '../fabric/fabric.js';
import { fetchCost } from './fetch-time.js';
import { sumCost } from './sum-time.js';

/** What the scans of all layers of a step cost. */
export type ScansOfStep = Pick<ModelledStrategy, 'strategy' | 'seconds' | 'bytesSentByRank'>;

/**
 * What a step costs in which scans take so long: with them every halo goes to the next rank and its gradient back, and there
 * is what is the same under any strategy: sums, and softmax `attention`. Nothing is counted as overlapped, so this is an
 * upper bound of the exposed time.
 */
export function modelStep(
  sp: number,
  { halos, sums, fetches }: Pick<ModelTrace, 'halos' | 'sums' | 'fetches'>,
  scans: ScansOfStep,
  fabric: Fabric,
  attention: Pick<ModelledStrategy, 'seconds' | 'bytesSentByRank'>,
): ModelledStrategy {
  const haloBytes = halos.reduce((sum, { bytes }) => sum + bytes, 0);
  const haloSeconds = halos.length * fabric.latencyS + haloBytes / fabric.bandwidthBytesPerS;
  const sum = sumCost(sp, sums, fabric);
  const fetch = fetchCost(sp, fetches, fabric);
  const seconds = attention.seconds + sum.seconds + fetch.seconds + (sp > 1 ? 2 * haloSeconds : 0);
  // The last rank has no next one, the first one no previous one.
  const bytesSentByRank = attention.bytesSentByRank.map(
    (bytes, rank) =>
      bytes +
      sum.bytesSent +
      fetch.bytesSentByRank[rank]! +
      haloBytes * (Number(rank < sp - 1) + Number(rank > 0)) +
      (scans.bytesSentByRank[rank] ?? 0),
  );
  return { strategy: scans.strategy, seconds: seconds + scans.seconds, bytesSentByRank };
}
