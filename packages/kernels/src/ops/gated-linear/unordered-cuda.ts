import type { ForwardCall } from '../../autograd/define-op.js';
import type { Tensor } from '../../tensor.js';
import { axpy } from '../add/index.js';
import { castTo } from '../pointwise/cast.js';
import { perHead } from './groups.js';
import './native.js';
import type { UnorderedParts } from './unordered-parts.js';

/** By matrix products, a head each, with sums in f32. */
export const unorderedOnGpu: UnorderedParts = {
  outerSum(call, k, v, factor) {
    const [B, , H, V] = v.shape as [number, number, number, number];
    const sum = call.empty([B, H, V, k.dim(3)]);
    call.native.gatedLinearCudaWriteAll(call.stream, sum.id, k.id, v.id);
    return factor === 1 ? sum : scaled(call, sum, factor);
  },

  readByKeys(call, q, state, factor) {
    const output = call.empty([q.dim(0), q.dim(1), state.dim(1), state.dim(2)], q.dtype);
    read(call, scaled(call, state, factor), q, output, false);
    return output;
  },

  readByValues(call, v, k, state, factor) {
    const output = call.empty(perHead(k, v.dim(2)), v.dtype);
    read(call, scaled(call, state, factor), v, output, true);
    return output;
  },
};

/**
 * Products take a state of the tokens' type. Beside bf16 it comes as two such terms: what tokens read may be the small rest of
 * large numbers, and the second product is small beside the projections around it. The state is used up.
 */
function read(call: ForwardCall, state: Tensor, reader: Tensor, output: Tensor, byValue: boolean): void {
  const product = (term: Tensor, accumulate: boolean): void =>
    call.native.gatedLinearCudaReadAll(call.stream, byValue, accumulate, term.id, reader.id, output.id);
  const lead = castTo(call, state, reader.dtype);
  product(lead, false);
  if (lead === state) return;
  axpy(-1, castTo(call, lead, state.dtype), state);
  product(castTo(call, state, reader.dtype), true);
}

/** `factor · state`, a copy. The state is small beside the tokens, so it takes the factor. */
function scaled(call: ForwardCall, state: Tensor, factor: number): Tensor {
  const result = call.empty(state.shape, state.dtype);
  call.native.affine(call.stream, factor, 0, state.id, result.id);
  return result;
}
