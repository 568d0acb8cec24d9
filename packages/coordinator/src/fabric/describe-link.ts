import type { ChainLinkCost, LinkCost } from '@longscan/worker';
import { formatSeconds } from '../format.js';

/** `latency 10.3 us, gap 6.5 us, bandwidth 2.62 GB/s` */
export function describeLink({ latencyS, gapS, bandwidthBytesPerS }: LinkCost): string {
  const bandwidth = describeBandwidth(bandwidthBytesPerS);
  return `latency ${formatSeconds(latencyS)}, gap ${formatSeconds(gapS)}, bandwidth ${bandwidth}`;
}

/** `launch 17.9 us, hop 4.20 us, bandwidth 207 GB/s` */
export function describeChainLink(link: ChainLinkCost): string {
  const { launchS, latencyS, bandwidthBytesPerS, denseFlopsPerS } = link;
  const dense =
    denseFlopsPerS === undefined ? '' : `, dense M at ${(denseFlopsPerS / 1e12).toPrecision(3)} TFLOP/s`;
  const bandwidth = describeBandwidth(bandwidthBytesPerS);
  return `launch ${formatSeconds(launchS)}, hop ${formatSeconds(latencyS)}, bandwidth ${bandwidth}${dense}`;
}

function describeBandwidth(bytesPerS: number): string {
  return `${(bytesPerS / 1e9).toPrecision(3)} GB/s`;
}
