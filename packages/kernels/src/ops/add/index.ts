import { defineOp } from '../../autograd/define-op.js';
import { expectShape, type Tensor } from '../../tensor.js';
import './native.js';

/** `a + b`, same shape. Its gradient is handed to both inputs unchanged, without a copy. */
export const add: (inputs: { a: Tensor; b: Tensor }) => Tensor = (inputs) => addOp(inputs, {});

const addOp = defineOp<{ a: Tensor; b: Tensor }>({
  name: 'add',
  forward(call, { a, b }) {
    expectShape('add', 'b', b, a.shape);
    const output = call.empty(a.shape, a.dtype);
    call.native.addForward(call.stream, a.id, b.id, output.id);
    call.device.flops += a.size;
    return { output, save: {} };
  },
  backward(_call, _saved, gradient) {
    return { a: gradient, b: gradient };
  },
});

/** `target += factor * x` in place, outside of autograd: how gradients are accumulated. */
export function axpy(factor: number, x: Tensor, target: Tensor): void {
  expectShape('axpy', 'x', x, target.shape);
  target.device.native.axpy(target.device.compute.id, factor, x.id, target.id);
}
