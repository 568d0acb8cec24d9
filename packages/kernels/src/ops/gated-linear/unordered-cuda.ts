import type { ForwardCall } from '../../autograd/define-op.js';
import type { DType, Tensor } from '../../tensor.js';
import { castTo } from '../pointwise/cast.js';
import { perHead } from './groups.js';
import './native.js';
import type { UnorderedParts } from './unordered.js';

/** By matrix products, a head each: sums in f32, states that tokens read in the tokens' type. */
export const unorderedOnGpu: UnorderedParts = {
  outerSum(call, k, v, factor) {
    const [B, , H, V] = v.shape as [number, number, number, number];
    const sum = call.empty([B, H, V, k.dim(3)]);
    call.native.gatedLinearCudaWriteAll(call.stream, sum.id, k.id, v.id);
    return scaled(call, sum, factor);
  },

  readByKeys(call, q, state, factor) {
    const output = call.empty([q.dim(0), q.dim(1), state.dim(1), state.dim(2)], q.dtype);
    const read = readable(call, state, factor, q.dtype);
    call.native.gatedLinearCudaReadAll(call.stream, false, read.id, q.id, output.id);
    return output;
  },

  readByValues(call, v, k, state, factor) {
    const output = call.empty(perHead(k, v.dim(2)), v.dtype);
    const read = readable(call, state, factor, v.dtype);
    call.native.gatedLinearCudaReadAll(call.stream, true, read.id, v.id, output.id);
    return output;
  },
};

/** The state, which is small beside the tokens, takes the factor; it does so before it is rounded. */
const readable = (call: ForwardCall, state: Tensor, factor: number, dtype: DType): Tensor =>
  castTo(call, scaled(call, state, factor), dtype);

function scaled(call: ForwardCall, state: Tensor, factor: number): Tensor {
  if (factor === 1) return state;
  const result = call.empty(state.shape, state.dtype);
  call.native.affine(call.stream, factor, 0, state.id, result.id);
  return result;
}
