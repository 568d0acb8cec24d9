import type { Device } from '@longscan/kernels';
import type { AttentionStrategy } from '../attention-strategy.js';
import type { LayerContext } from '../layer.js';
import type { AttentionTrace } from '../protocol/plan.js';
import { sequenceAttention } from '../sequence/attention.js';
import { positionsOf } from '../sequence/positions.js';
import type { Received } from '../sequence/received.js';
import { slicesOf } from '../sequence/slice-group.js';

export interface AttentionTraceOptions {
  readonly layer: number;
  /** Ranks that a sequence is cut over, in slices of this many tokens. */
  readonly numSlices: number;
  readonly sliceLength: number;
  /** Null: each rank attends its own slice only, which tells the calls but not what they cost. */
  readonly strategy: AttentionStrategy | null;
  readonly received: Received;
}

/**
 * Attention and positions on a shape device as the last rank of a sequence has them: none holds or multiplies more. Notes
 * each call.
 */
export function tracingAttention(
  device: Device,
  { layer, numSlices, sliceLength, strategy, received }: AttentionTraceOptions,
  attentions: AttentionTrace[],
): Pick<LayerContext, 'attention' | 'positions'> {
  // Nothing is computed on a shape device, so nothing has to come from anywhere.
  const communicator = { rank: numSlices - 1, stream: device.compute, exchange: () => undefined };
  /** Slices that are no whole chunks are refused later, by the layer's name: here they are rounded up. */
  const groupOf = (chunk: number) => {
    const length = Math.ceil(sliceLength / chunk) * chunk;
    return { communicator, slices: slicesOf(new Array<number>(numSlices).fill(length)) };
  };
  return {
    positions: (x) => positionsOf(x, groupOf(1), { resets: null, before: null }),
    attention(inputs, options = {}) {
      const { window = null, chunk = null } = options;
      const [numSequences, , numHeads, keySize] = inputs.q.shape as [number, number, number, number];
      const [, , numKeyHeads, valueSize] = inputs.v.shape as [number, number, number, number];
      if (!received.isReplay) {
        attentions.push({
          ...{ layer, numSequences, numHeads, numKeyHeads, keySize, valueSize },
          ...{ window, chunk },
        });
      }
      const group = numSlices === 1 || strategy === null ? null : groupOf(chunk ?? 1);
      const place = { group: group && strategy && { ...group, attention: strategy }, positions: null };
      return sequenceAttention(inputs, options, { ...place, received });
    },
  };
}
