import { defineOp, type ForwardCall } from '../../autograd/define-op.js';
import type { DType, Tensor } from '../../tensor.js';
import { wideType } from '../../types-of.js';
import './native.js';

/**
 * x as another type: x itself if it has it. f32 to bf16 rounds to nearest, ties to even. The gradient is cast back. On GPUs,
 * where types differ.
 */
export function cast(x: Tensor, dtype: DType): Tensor {
  return x.dtype === dtype ? x : castOp({ x }, { from: x.dtype, to: dtype });
}

/** x in a type that log decays, gates and steps may be computed and summed in: bf16 as f32, any other x itself. */
export function wide(x: Tensor): Tensor {
  return cast(x, wideType(x.dtype));
}

/** `cast` outside of autograd. */
export function castTo(call: ForwardCall, x: Tensor, dtype: DType): Tensor {
  if (x.dtype === dtype) return x;
  const y = call.empty(x.shape, dtype);
  call.native.cast(call.stream, x.id, y.id);
  return y;
}

const castOp = defineOp<{ x: Tensor }, { from: DType; to: DType }>({
  name: 'cast',
  isCheap: true,
  forward: (call, { x }, { to }) => ({ output: castTo(call, x, to), save: {} }),
  backward: (call, _saved, dy, { from }) => ({ x: castTo(call, dy, from) }),
});
