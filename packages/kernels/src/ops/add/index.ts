import { defineOp } from '../../autograd/define-op.js';
import { expectShape, type Tensor } from '../../tensor.js';
import { promotedType, type TypesOf, typesOf } from '../../types-of.js';
import { castTo } from '../pointwise/cast.js';
import './native.js';

/**
 * `a + b`, same shape, as `dtype`: left out, bf16 with f32 gives f32. The gradient is handed unchanged, without a copy, to
 * each input that has the sum's type.
 */
export function add(inputs: { a: Tensor; b: Tensor }, dtype = promotedType(inputs)): Tensor {
  return addOp(inputs, { ...typesOf(inputs), y: dtype });
}

const addOp = defineOp<{ a: Tensor; b: Tensor }, TypesOf<'a' | 'b' | 'y'>>({
  name: 'add',
  forward(call, { a, b }, types) {
    expectShape('add', 'b', b, a.shape);
    const output = call.empty(a.shape, types.y);
    call.native.addForward(call.stream, a.id, b.id, output.id);
    call.device.flops += a.size;
    return { output, save: {} };
  },
  backward(call, _saved, gradient, types) {
    return {
      a: call.needs.a ? castTo(call, gradient, types.a) : null,
      b: call.needs.b ? castTo(call, gradient, types.b) : null,
    };
  },
});

/** `target += factor * x` in place, outside of autograd: how gradients are accumulated. */
export function axpy(factor: number, x: Tensor, target: Tensor): void {
  expectShape('axpy', 'x', x, target.shape);
  target.device.native.axpy(target.device.compute.id, factor, x.id, target.id);
}
