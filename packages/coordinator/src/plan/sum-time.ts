import { directBytes } from '@longscan/worker';
import type { SumTrace } from '@longscan/worker/protocol';
import type { Fabric } from '../fabric/fabric.js';

export interface SumCost {
  readonly seconds: number;
  /** The same on every rank. */
  readonly bytesSent: number;
}

/** What sums over all ranks of a sequence cost in one step: one all-reduce forward and one of the gradient back. */
export function sumCost(sp: number, sums: readonly SumTrace[], fabric: Fabric): SumCost {
  if (sp === 1) return { seconds: 0, bytesSent: 0 };
  let [seconds, bytesSent] = [0, 0];
  for (const { bytes } of sums) {
    const isDirect = bytes <= directBytes;
    const sent = isDirect ? (sp - 1) * bytes : (2 * bytes * (sp - 1)) / sp;
    const numSteps = isDirect ? 1 : 2 * (sp - 1);
    seconds += 2 * (numSteps * fabric.latencyS + sent / fabric.bandwidthBytesPerS);
    bytesSent += 2 * sent;
  }
  return { seconds, bytesSent };
}
