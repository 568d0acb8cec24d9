import { causalConv, type Tensor, tokenShift } from '@longscan/kernels';
import type { LayerContext } from '../layer.js';
import type { SliceWithHalo } from '../sequence/halo.js';

/** Runs `op` on the tokens x and the `numRows` before them. */
export type RunWithHalo = (x: Tensor, numRows: number, op: (slice: SliceWithHalo) => Tensor) => Tensor;

/** What of a layer's context looks a fixed number of tokens back. `resets`: i32 [B, T], 1 where a document starts, or null. */
export function shortRange(
  runWithHalo: RunWithHalo,
  resets: Tensor | null,
): Pick<LayerContext, 'causalConv1d' | 'tokenShift'> {
  return {
    causalConv1d(x, weight, { bias = null, activation, unitHeads } = {}) {
      return runWithHalo(x, weight.dim(1) - 1, (slice) =>
        causalConv({ ...slice, weight, bias }, { resets, activation, unitHeads }),
      );
    },
    tokenShift: (x) => runWithHalo(x, 1, (slice) => tokenShift(slice, resets)),
  };
}
