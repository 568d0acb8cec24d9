import { type Device, empty } from '@longscan/kernels';
import type { LayerContext } from '../layer.js';
import type { JobSpec } from '../protocol/job-spec.js';
import type { FetchTrace, SumTrace } from '../protocol/plan.js';
import { bidirectionalRecurrence } from '../sequence/bidirectional.js';
import { attentionToBothSides } from '../sequence/both-sides-attention.js';
import type { Received } from '../sequence/received.js';
import { recurrence } from '../sequence/recurrence.js';
import { slicesOf } from '../sequence/slice-group.js';
import { chunkReason, whyCausalOnly } from './bidirectional-contexts.js';
import { toBothSides } from './both-sides.js';
import { type Traffic, tracingShortRange, wireBytes } from './trace-traffic.js';

export interface BidirectionalTrace {
  readonly device: Device;
  /** [B, T] */
  readonly shape: readonly [number, number];
  /** Some sequence holds a document's end, or padding. */
  readonly hasBoundaries: boolean;
  /** Ranks that a sequence is cut over. */
  readonly numSlices: number;
  readonly traffic: Traffic;
  readonly sums: SumTrace[];
  readonly fetches: FetchTrace[];
  /** By layer: why it reads in one direction only. */
  readonly refusals: Map<number, string>;
}

/**
 * A layer's recurrences and convolutions under the masked objective as on a single rank, and attention as on the last one,
 * noting what they would send. A recurrence that cannot be had in both directions is noted and runs in one, so that the
 * rest of the model is seen too.
 */
export function tracingBothDirections(trace: BidirectionalTrace) {
  const { device, shape, numSlices, hasBoundaries, traffic, sums, fetches, refusals } = trace;
  const everyToken = empty(device, shape, 'i32');
  // Nothing is computed on a shape device, so nothing has to come from anywhere.
  const communicator = { rank: numSlices - 1, stream: device.compute, exchange: () => undefined };
  const slices = slicesOf(new Array<number>(numSlices).fill(shape[1]));
  const group = numSlices === 1 ? null : { communicator, slices };
  const boundaries = hasBoundaries ? { starts: everyToken, reversedEnds: everyToken } : null;
  return (
    layer: number,
    received: Received,
  ): Pick<LayerContext, 'recurrence' | 'attention' | 'causalConv1d' | 'tokenShift'> => {
    const looking = tracingShortRange(layer, received, traffic);
    return {
      ...toBothSides(looking, looking),
      recurrence(op, inputs, meanwhile) {
        const reason = whyCausalOnly(op);
        if (reason !== null) {
          refusals.set(layer, reason);
          return recurrence(op, inputs, { group: null, resets: null, meanwhile });
        }
        const bytes = wireBytes(op, inputs, hasBoundaries);
        const oneRun = { layer, kind: op.transition, ...bytes };
        const isSum = op.unordered !== undefined && !hasBoundaries;
        if (!received.isReplay) {
          if (isSum) sums.push({ layer, bytes: bytes.stateBytes });
          else traffic.recurrences.push(oneRun, oneRun);
        }
        return bidirectionalRecurrence(op, inputs, { group: null, boundaries, everyToken, meanwhile });
      },
      attention(inputs, { chunk, ...options } = {}) {
        if (chunk !== undefined) refusals.set(layer, chunkReason);
        const { window } = options;
        if (!received.isReplay) {
          const sliceBytes = inputs.k.bytes + inputs.v.bytes;
          fetches.push({
            layer,
            sliceBytes,
            reachSlices: window === undefined ? null : (window - 1) / shape[1],
          });
        }
        const place = { group, positions: hasBoundaries ? everyToken : null, after: everyToken, received };
        return attentionToBothSides(inputs, options, place);
      },
    };
  };
}

/** Whether sequences of a job, padded to this length, may hold more than one document and nothing else. */
export function hasBoundaries(
  { packing, format, separator, sequenceLength }: JobSpec['data'],
  paddedLength: number,
): boolean {
  return packing || format === 'jsonl' || separator !== null || paddedLength > sequenceLength;
}
