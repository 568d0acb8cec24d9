import { defineOp, type ForwardCall } from '../../autograd/define-op.js';
import type { DType, Tensor } from '../../tensor.js';
import './native.js';

/** x as another type, outside of autograd: f32 to bf16 rounds to nearest, ties to even. x itself if it has the type. */
export function castTo(call: ForwardCall, x: Tensor, dtype: DType): Tensor {
  if (x.dtype === dtype) return x;
  const y = call.empty(x.shape, dtype);
  call.native.cast(call.stream, x.id, y.id);
  return y;
}

/**
 * x in a type that log decays, gates and steps may be computed and summed in: bf16 becomes f32, any other type is x itself.
 * The gradient is cast back.
 */
export function wide(x: Tensor): Tensor {
  return x.dtype === 'bf16' ? wideOp({ x }, {}) : x;
}

/** `bf16` to f32, else unchanged. */
export function wideType(dtype: DType): DType {
  return dtype === 'bf16' ? 'f32' : dtype;
}

const wideOp = defineOp<{ x: Tensor }>({
  name: 'wide',
  forward: (call, { x }) => ({ output: castTo(call, x, 'f32'), save: {} }),
  backward: (call, _saved, dy) => ({ x: castTo(call, dy, 'bf16') }),
});
