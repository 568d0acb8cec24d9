import { defineOp } from '../../autograd/define-op.js';
import { type DType, expectShape, type Tensor } from '../../tensor.js';
import { promotedType, type TypesOf, typesOf, wideType } from '../../types-of.js';
import './native.js';

export { cast, wide } from './cast.js';

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

export interface ActivationOptions {
  /** The output is at least f32, of bf16 too: a log decay, a gate, a step. */
  readonly wide?: boolean;
}

/** `scale · f(x)`, element by element; same shape as x, and its type unless `wide`. */
export function activation(
  name: ActivationName,
  x: Tensor,
  scale = 1,
  { wide = false }: ActivationOptions = {},
): Tensor {
  const to = wide ? wideType(x.dtype) : x.dtype;
  return activationOp({ x }, { name, scale, from: x.dtype, to });
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

const activationOp = defineOp<{ x: Tensor }, { name: ActivationName; scale: number; from: DType; to: DType }>(
  {
    name: 'activation',
    isCheap: true,
    forward(call, { x }, { name, scale, to }) {
      const output = call.empty(x.shape, to);
      call.native.activationForward(call.stream, activationCodes[name], scale, x.id, output.id);
      call.device.flops += 2 * x.size;
      // The slope of a constant factor does not depend on x.
      return { output, save: { x: name === 'identity' ? null : x } };
    },
    backward(call, { x }, dy, { name, scale, from }) {
      const dx = call.empty(dy.shape, from);
      // Where x was not saved, nothing is read of what stands for it.
      const input = x ?? dx;
      call.native.activationBackward(call.stream, activationCodes[name], scale, input.id, dy.id, dx.id);
      call.device.flops += 3 * dy.size;
      return { x: dx };
    },
  },
);

/** `a · b` element by element, same shape, as `dtype`: left out, bf16 with f32 gives f32. */
export function mul(inputs: { a: Tensor; b: Tensor }, dtype = promotedType(inputs)): Tensor {
  return mulOp(inputs, { ...typesOf(inputs), y: dtype });
}

const mulOp = defineOp<{ a: Tensor; b: Tensor }, TypesOf<'a' | 'b' | 'y'>>({
  name: 'mul',
  isCheap: true,
  forward(call, { a, b }, types) {
    expectShape('mul', 'b', b, a.shape);
    const output = call.empty(a.shape, types.y);
    call.native.multiply(call.stream, a.id, b.id, output.id);
    call.device.flops += a.size;
    return { output, save: { a: b.requiresGrad ? a : null, b: a.requiresGrad ? b : null } };
  },
  backward(call, { a, b }, dy, types) {
    const times = (factor: Tensor, dtype: DType): Tensor => {
      const product = call.empty(dy.shape, dtype);
      call.native.multiply(call.stream, dy.id, factor.id, product.id);
      call.device.flops += dy.size;
      return product;
    };
    return {
      a: call.needs.a ? times(b!, types.a) : null,
      b: call.needs.b ? times(a!, types.b) : null,
    };
  },
});

/** `target[i] = value` (bf16: rounded to nearest), in place, outside of autograd. */
export function fill(target: Tensor, value: number): void {
  target.device.native.fill(target.device.compute.id, target.id, value);
}

/** `target = source`, in place, outside of autograd; same shape and dtype. */
export function copy(source: Tensor, target: Tensor): void {
  expectShape('copy', 'source', source, target.shape);
  target.device.native.copy(target.device.compute.id, source.id, target.id);
}
