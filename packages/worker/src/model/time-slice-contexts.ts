import { LongscanError, runRecurrence, type Tensor } from '@longscan/kernels';
import type { Crossing } from '../sequence/border.js';
import { haloAcrossBorder } from '../sequence/border-halo.js';
import { positionsOf } from '../sequence/positions.js';
import type { ContextSource } from './layer-context.js';
import { shareAlone } from './shared-values.js';
import { shortRange } from './short-range.js';

/**
 * Training on one rank, one time slice of its sequences after the other: every recurrence goes on from the state that
 * entered the slice, and leaves another one; so do convolutions and token shifts with their halos. `resets`: i32 [B, T], 1
 * where a document starts; `before`: i32 [B], tokens that earlier slices hold of the document that is open where this one
 * begins.
 */
export function timeSliceContexts(
  resets: Tensor | null,
  before: Tensor | null,
  crossing: Crossing,
): ContextSource {
  return {
    tensors: [resets, before].filter((tensor) => tensor !== null),
    forLayer(index) {
      const nextCall = crossing.callsOf(index);
      return {
        share: shareAlone,
        recurrence(op, inputs, meanwhile) {
          meanwhile?.();
          const { entering, leave } = nextCall();
          const { output, finalState } = runRecurrence(op, inputs, { resets, h0: entering });
          leave(finalState);
          return output;
        },
        ...shortRange((x, numRows, op) => op(haloAcrossBorder(x, numRows, resets, nextCall())), resets),
        positions: (x) => positionsOf(x, null, { resets, before }),
        attention: () => {
          throw refuseAttention(index);
        },
      };
    },
  };
}

/** Keys and values of earlier slices would be kept all, and their number grows with the sequence. */
function refuseAttention(layer: number): LongscanError {
  return new LongscanError({
    code: 'E-TIME-SLICE',
    where: `model.timeSlice with layer ${layer}`,
    found: 'softmax attention',
    expected: 'layers whose memory is a state of fixed size',
    fix: 'set model.timeSlice = 0, or use another layer',
    exitCode: 2,
  });
}
