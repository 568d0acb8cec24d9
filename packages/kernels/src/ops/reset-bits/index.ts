import type { ForwardCall } from '../../autograd/define-op.js';
import type { DType, Tensor } from '../../tensor.js';
import './native.js';

/** [B] of `dtype`, 1 where a document starts in the run of tokens that `resets` i32 [B, T] describes, else 0. */
export function resetBits(call: ForwardCall, resets: Tensor, dtype: DType): Tensor {
  const bits = call.empty([resets.dim(0)], dtype);
  call.native.resetBits(call.stream, resets.id, bits.id);
  return bits;
}
