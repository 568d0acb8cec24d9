import type { Device } from '@longscan/kernels';
import type { LayerContext } from '../layer.js';
import type { GatherTrace } from '../protocol/plan.js';
import { sequenceAttention } from '../sequence/attention.js';
import { positionsOf } from '../sequence/positions.js';
import type { Received } from '../sequence/received.js';
import { slicesOf } from '../sequence/sequence-group.js';

export interface AttentionTraceOptions {
  readonly layer: number;
  /** Ranks that a sequence is cut over, in slices of this many tokens. */
  readonly numSlices: number;
  readonly sliceLength: number;
  readonly received: Received;
}

/**
 * Attention and positions on a shape device as the last rank of a sequence has them: it holds and multiplies the most.
 * Notes what each call would fetch.
 */
export function tracingAttention(
  device: Device,
  { layer, numSlices, sliceLength, received }: AttentionTraceOptions,
  gathers: GatherTrace[],
): Pick<LayerContext, 'attention' | 'positions'> {
  // Nothing is computed on a shape device, so nothing has to come from anywhere.
  const communicator = { rank: numSlices - 1, stream: device.compute, exchange: () => undefined };
  /** Slices that are no whole chunks are refused later, by the layer's name: here they are rounded up. */
  const groupOf = (chunk: number) => {
    const length = Math.ceil(sliceLength / chunk) * chunk;
    return numSlices === 1
      ? null
      : { communicator, slices: slicesOf(new Array<number>(numSlices).fill(length)) };
  };
  return {
    positions: (x) => positionsOf(x, groupOf(1), { resets: null, before: null }),
    attention(inputs, options = {}) {
      const { window, chunk = 1 } = options;
      if (!received.isReplay) {
        gathers.push({
          layer,
          sliceBytes: (4 * (inputs.k.size + inputs.v.size)) / chunk,
          reachSlices: window === undefined ? null : (window - 1) / sliceLength,
        });
      }
      return sequenceAttention(inputs, options, { group: groupOf(chunk), positions: null, received });
    },
  };
}
