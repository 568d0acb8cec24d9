import {
  dtypeBytes,
  type RecurrenceInputs,
  type RecurrenceOp,
  type Tensor,
  transitionWireElements,
} from '@longscan/kernels';
import type { LayerContext } from '../layer.js';
import type { HaloTrace, RecurrenceTrace } from '../protocol/plan.js';
import type { Received } from '../sequence/received.js';
import { shortRange } from './short-range.js';

/** What a model would send, in the order of its calls. */
export interface Traffic {
  /** Documents are packed. */
  readonly packing: boolean;
  readonly recurrences: RecurrenceTrace[];
  readonly halos: HaloTrace[];
}

type ShortRange = Pick<LayerContext, 'causalConv1d' | 'tokenShift'>;

/** As on a single rank that holds whole sequences. */
const alone: ShortRange = shortRange((x, _numRows, op) => op({ x, halo: null }), null);

/** Convolutions and token shifts, with a note of each halo. */
export function tracingShortRange(
  layer: number,
  { isReplay }: Received,
  { halos }: Traffic,
  { causalConv1d, tokenShift } = alone,
): ShortRange {
  const note = (x: Tensor, numRows: number) => {
    if (isReplay || numRows === 0) return;
    halos.push({ layer, bytes: dtypeBytes[x.dtype] * x.dim(0) * numRows * x.dim(2) });
  };
  return {
    causalConv1d(x, weight, options) {
      note(x, weight.dim(1) - 1);
      return causalConv1d(x, weight, options);
    },
    tokenShift(x) {
      note(x, 1);
      return tokenShift(x);
    },
  };
}

/** A state, and M with a reset bit for each sequence where documents are packed. */
export function wireBytes<I extends RecurrenceInputs>(op: RecurrenceOp<I>, inputs: I, packing: boolean) {
  const [B, H, R, N] = op.stateShape(inputs) as [number, number, number, number];
  const transitionBytes = 4 * B * (H * transitionWireElements(op.transition, N) + Number(packing));
  return { stateBytes: 4 * B * H * R * N, stateRows: B * H * R, numHeads: B * H, transitionBytes };
}
