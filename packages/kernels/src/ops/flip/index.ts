import { defineOp, type ForwardCall } from '../../autograd/define-op.js';
import { expectShape, type Tensor } from '../../tensor.js';
import './native.js';

/** x with the order along `axis` turned round, as a copy; any type. `axis` defaults to that of tokens, [B, T, ..]. */
export function flip(x: Tensor, axis = 1): Tensor {
  return flipOp({ x }, { axis });
}

const flipOp = defineOp<{ x: Tensor }, { axis: number }>({
  name: 'flip',
  forward(call, { x }, { axis }) {
    if (axis >= x.shape.length) expectShape('flip', 'x', x, new Array<number>(axis + 1).fill(-1));
    return { output: flipped(call, x, axis), save: {} };
  },
  backward: (call, _saved, dy, { axis }) => ({ x: flipped(call, dy, axis) }),
});

function flipped(call: ForwardCall, x: Tensor, axis: number): Tensor {
  const y = call.empty(x.shape, x.dtype);
  call.native.flip(call.stream, axis, x.id, y.id);
  return y;
}
