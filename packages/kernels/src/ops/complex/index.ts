import { defineOp } from '../../autograd/define-op.js';
import { expectShape, type Tensor } from '../../tensor.js';
import './native.js';

/** The numbers of `enum class Holomorphic` in holomorphic.h. */
const functionCodes = { 'hold-ratio': 0, 'bilinear-ratio': 1, 'bilinear-log': 2 } as const;

/**
 * What turns z = ΔA of a continuous state space model into a recurrence:
 * `hold-ratio` (e^z - 1) / z, the input's weight over Δ under a zero-order hold, whose λ is e^z;
 * `bilinear-ratio` 1 / (1 - z/2) and `bilinear-log` log((1 + z/2) / (1 - z/2)), the same weight and log λ of the bilinear
 * method. z has a real part < 0.
 */
export type ComplexFunctionName = keyof typeof functionCodes;
export const complexFunctionNames = Object.keys(functionCodes) as readonly ComplexFunctionName[];

/** f(z) for pairs (re, im) in the last dim: z [.., 2] to [.., 2]. For parameters: computed in f64, one by one. */
export function complexFunction(name: ComplexFunctionName, z: Tensor): Tensor {
  return complexFunctionOp({ z }, { name });
}

/** a b for pairs (re, im): both [.., 2], the same shape. */
export const complexMul: (inputs: { a: Tensor; b: Tensor }) => Tensor = (inputs) => complexMulOp(inputs, {});

const complexFunctionOp = defineOp<{ z: Tensor }, { name: ComplexFunctionName }>({
  name: 'complex-function',
  forward(call, { z }, { name }) {
    expectShape(name, 'z', z, [...z.shape.slice(0, -1), 2]);
    const output = call.empty(z.shape, z.dtype);
    call.native.complexForward(call.stream, functionCodes[name], z.id, output.id);
    call.device.flops += 10 * z.size;
    return { output, save: { z } };
  },
  backward(call, { z }, dy, { name }) {
    const dz = call.empty(dy.shape, dy.dtype);
    call.native.complexBackward(call.stream, functionCodes[name], z!.id, dy.id, dz.id);
    call.device.flops += 20 * dy.size;
    return { z: dz };
  },
});

const complexMulOp = defineOp<{ a: Tensor; b: Tensor }>({
  name: 'complex-mul',
  forward(call, { a, b }) {
    expectShape('complex-mul', 'a', a, [...a.shape.slice(0, -1), 2]);
    expectShape('complex-mul', 'b', b, a.shape);
    const output = call.empty(a.shape, a.dtype);
    call.native.complexMultiply(call.stream, false, a.id, b.id, output.id);
    call.device.flops += 3 * a.size;
    return { output, save: { a: b.requiresGrad ? a : null, b: a.requiresGrad ? b : null } };
  },
  backward(call, { a, b }, dy) {
    const conjugateTimes = (factor: Tensor): Tensor => {
      const product = call.empty(dy.shape, dy.dtype);
      call.native.complexMultiply(call.stream, true, factor.id, dy.id, product.id);
      call.device.flops += 3 * dy.size;
      return product;
    };
    return { a: call.needs.a ? conjugateTimes(b!) : null, b: call.needs.b ? conjugateTimes(a!) : null };
  },
});
