import { defineOp } from '../../autograd/define-op.js';
import { expectShape, type Tensor } from '../../tensor.js';
import { castTo } from '../pointwise/cast.js';
import './native.js';

/**
 * A block-diagonal projection: x [.., G, in] and weight [G, out, in] to [.., G, out], each of the G blocks of features by
 * a matrix of its own. Blocks may be small: the work is proportional to their size. A weight in f32 beside x in bf16 is rounded
 * to that, its gradient is not.
 */
export function blockLinear(inputs: { x: Tensor; weight: Tensor }): Tensor {
  return blockLinearOp(inputs, {});
}

const blockLinearOp = defineOp<{ x: Tensor; weight: Tensor }>({
  name: 'block-linear',
  forward(call, { x, weight }) {
    const [G, out, size] = weight.shape as [number, number, number];
    expectShape('block-linear', 'weight', weight, [x.dim(-2), -1, x.dim(-1)]);
    const output = call.empty([...x.shape.slice(0, -2), G, out], x.dtype);
    const factor = castTo(call, weight, x.dtype);
    call.native.blockLinearForward(call.stream, x.id, factor.id, output.id);
    call.device.flops += 2 * output.size * size;
    return { output, save: { x, weight, factor } };
  },
  backward(call, saved, dy) {
    const [x, weight, factor] = [saved.x!, saved.weight!, saved.factor!];
    const flops = 2 * dy.size * x.dim(-1);
    let dx: Tensor | null = null;
    if (call.needs.x) {
      dx = call.empty(x.shape, x.dtype);
      call.native.blockLinearInputGrad(call.stream, dx.id, factor.id, dy.id);
      call.device.flops += flops;
    }
    let dw: Tensor | null = null;
    if (call.needs.weight) {
      dw = call.weightGradient(weight, [x, dy], (target, accumulate) => {
        call.native.blockLinearWeightGrad(call.stream, x.id, target.id, dy.id, accumulate);
      });
      call.device.flops += flops;
    }
    return { x: dx, weight: dw };
  },
});
