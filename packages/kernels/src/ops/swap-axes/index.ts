import { defineOp, type ForwardCall } from '../../autograd/define-op.js';
import { expectShape, type Tensor } from '../../tensor.js';
import './native.js';

/** [A, B, ..] to [B, A, ..], as a copy; any type. The first dim of the result can be cut by views. */
export const swapAxes: (x: Tensor) => Tensor = (x) => swapAxesOp({ x }, {});

const swapAxesOp = defineOp<{ x: Tensor }>({
  name: 'swap-axes',
  forward(call, { x }) {
    if (x.shape.length < 2) expectShape('swap-axes', 'x', x, [-1, -1]);
    return { output: swapped(call, x), save: {} };
  },
  backward: (call, _saved, dy) => ({ x: swapped(call, dy) }),
});

function swapped(call: ForwardCall, x: Tensor): Tensor {
  const [outer, inner, ...rest] = x.shape as [number, number, ...number[]];
  const y = call.empty([inner, outer, ...rest], x.dtype);
  call.native.swapAxes(call.stream, x.id, y.id);
  return y;
}
