import { defineOp } from '../../autograd/define-op.js';
import { expectShape, type Tensor } from '../../tensor.js';
import './native.js';

/** The numbers of `enum class Activation` in pointwise.h. */
const activationCodes = {
  identity: 0,
  sigmoid: 1,
  'log-sigmoid': 2,
  silu: 3,
  'elu+1': 4,
  relu: 5,
  exp: 6,
  tanh: 7,
  square: 8,
  softplus: 9,
  log: 10,
  gelu: 11,
  'gelu-tanh': 12,
} as const;

/**
 * `log-sigmoid` and `softplus` are exact at large |x| of either sign; `elu+1` is x + 1 above zero and e^x below; `gelu`
 * is x Φ(x), `gelu-tanh` its approximation by tanh; `log` wants x > 0.
 */
export type ActivationName = keyof typeof activationCodes;
export const activationNames = Object.keys(activationCodes) as readonly ActivationName[];

/** `scale · f(x)`, element by element; same shape as x. */
export function activation(name: ActivationName, x: Tensor, scale = 1): Tensor {
  return activationOp({ x }, { name, scale });
}

/** `factor · x` for a constant factor; same shape as x. */
export function scale(x: Tensor, factor: number): Tensor {
  return affine(x, factor, 0);
}

/** `factor · x + shift` for constants; same shape as x. */
export function affine(x: Tensor, factor: number, shift: number): Tensor {
  return affineOp({ x }, { factor, shift });
}

const affineOp = defineOp<{ x: Tensor }, { factor: number; shift: number }>({
  name: 'affine',
  forward(call, { x }, { factor, shift }) {
    const output = call.empty(x.shape, x.dtype);
    call.native.affine(call.stream, factor, shift, x.id, output.id);
    call.device.flops += 2 * x.size;
    return { output, save: {} };
  },
  backward(call, _saved, dy, { factor }) {
    const dx = call.empty(dy.shape, dy.dtype);
    call.native.affine(call.stream, factor, 0, dy.id, dx.id);
    call.device.flops += dy.size;
    return { x: dx };
  },
});

const activationOp = defineOp<{ x: Tensor }, { name: ActivationName; scale: number }>({
  name: 'activation',
  isCheap: true,
  forward(call, { x }, { name, scale }) {
    const output = call.empty(x.shape, x.dtype);
    call.native.activationForward(call.stream, activationCodes[name], scale, x.id, output.id);
    call.device.flops += 2 * x.size;
    // The slope of a constant factor does not depend on x.
    return { output, save: { x: name === 'identity' ? null : x } };
  },
  backward(call, { x }, dy, { name, scale }) {
    const dx = call.empty(dy.shape, dy.dtype);
    const input = x ?? dy;
    call.native.activationBackward(call.stream, activationCodes[name], scale, input.id, dy.id, dx.id);
    call.device.flops += 3 * dy.size;
    return { x: dx };
  },
});

/** `a · b` element by element, same shape. */
export const mul: (inputs: { a: Tensor; b: Tensor }) => Tensor = (inputs) => mulOp(inputs, {});

const mulOp = defineOp<{ a: Tensor; b: Tensor }>({
  name: 'mul',
  isCheap: true,
  forward(call, { a, b }) {
    expectShape('mul', 'b', b, a.shape);
    const output = call.empty(a.shape, a.dtype);
    call.native.multiply(call.stream, a.id, b.id, output.id);
    call.device.flops += a.size;
    return { output, save: { a: b.requiresGrad ? a : null, b: a.requiresGrad ? b : null } };
  },
  backward(call, { a, b }, dy) {
    const times = (factor: Tensor): Tensor => {
      const product = call.empty(dy.shape, dy.dtype);
      call.native.multiply(call.stream, dy.id, factor.id, product.id);
      call.device.flops += dy.size;
      return product;
    };
    return { a: call.needs.a ? times(b!) : null, b: call.needs.b ? times(a!) : null };
  },
});

/** `target[i] = value`, in place, outside of autograd. */
export function fill(target: Tensor, value: number): void {
  target.device.native.fill(target.device.compute.id, target.id, value);
}

/** `target = source`, in place, outside of autograd; same shape and dtype. */
export function copy(source: Tensor, target: Tensor): void {
  expectShape('copy', 'source', source, target.shape);
  target.device.native.copy(target.device.compute.id, source.id, target.id);
}
