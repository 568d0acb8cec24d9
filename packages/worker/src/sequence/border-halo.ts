import { addTailGradient, forwardCall, sequenceTail, type Tensor } from '@longscan/kernels';
import type { CrossingCall } from './border.js';
import type { SliceWithHalo } from './halo.js';

/**
 * A time slice x [B, T, D] together with the last `numRows` tokens before it, which the slice before left; leaves its own
 * last ones to the slice after it, and those from before where it is shorter. `resets`: i32 [B, T], 1 where a document
 * starts; null: one document.
 *
 * The x of the result must go into one op only, together with the halo: the gradients that this op gives are completed in
 * place by those of the tokens that were left.
 */
export function haloAcrossBorder(
  x: Tensor,
  numRows: number,
  resets: Tensor | null,
  { entering, leave }: CrossingCall,
): SliceWithHalo {
  if (numRows === 0) return { x, halo: null };
  const call = forwardCall(x.device);
  const tail = sequenceTail(call, { x, halo: entering, resets }, numRows);
  leave(tail);
  const { tape } = x.device;
  if (tape === null || !x.requiresGrad) return { x, halo: entering };
  const own = x.view(x.shape);
  const halo = entering?.view(entering.shape) ?? null;
  tape.record({
    name: 'border-halo',
    inputs: entering === null ? [x] : [x, entering],
    outputs: halo === null ? [own, tail] : [own, tail, halo],
    saved: resets === null ? [] : [resets],
    backward: ([dx, dTail = null, dHalo = null]) => {
      if (dTail !== null) addTailGradient(call, { x: dx!, halo: dHalo, resets }, dTail);
      return [dx!, dHalo];
    },
  });
  return { x: own, halo };
}
