import type { LinkCost } from '@longscan/worker';
import { formatSeconds } from '../format.js';

/** `latency 10.3 us, gap 6.5 us, bandwidth 2.62 GB/s` */
export function describeLink({ latencyS, gapS, bandwidthBytesPerS }: LinkCost): string {
  const bandwidth = `${(bandwidthBytesPerS / 1e9).toPrecision(3)} GB/s`;
  return `latency ${formatSeconds(latencyS)}, gap ${formatSeconds(gapS)}, bandwidth ${bandwidth}`;
}
