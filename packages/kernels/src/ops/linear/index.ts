import { defineOp, type ForwardCall } from '../../autograd/define-op.js';
import type { Device } from '../../device.js';
import { expectShape, type Tensor } from '../../tensor.js';
import { sumRows } from '../sum-rows/index.js';
import type { GemmInfo } from './native.js';

export type { GemmInfo } from './native.js';

interface LinearInputs extends Record<string, Tensor | null> {
  /** [..., numIn] */
  readonly x: Tensor;
  /** [numOut, numIn] */
  readonly weight: Tensor;
  /** [numOut] */
  readonly bias: Tensor | null;
}

/** What an op gives, where it has run on the same numbers before. */
export interface KnownOutput {
  readonly known: Tensor | null;
}

/**
 * `x Wᵀ + bias`: [..., numIn] to [..., numOut]. `known`: what it gives, from a run on the same numbers: it becomes the output, and
 * the product is not run again.
 * On a GPU the bias may be f32 beside bf16. @throws LongscanError E-ONEDNN, on a GPU E-CUBLAS, if the matrix library cannot be
 * opened.
 */
export const linear: (inputs: LinearInputs, known?: Tensor | null) => Tensor = (inputs, known = null) =>
  linearOp(inputs, { known });

const linearOp = defineOp<LinearInputs, KnownOutput>({
  name: 'linear',
  late: ['x'],
  forward(call, { x, weight, bias }, { known }) {
    expectShape('linear', 'weight', weight, [-1, x.dim(-1)]);
    if (bias !== null) expectShape('linear', 'bias', bias, [weight.dim(0)]);
    const output = linearOutput(call, { x, weight, bias }, known);
    // x is only needed for the weight's gradient, and the weight only for x's.
    return { output, save: { x: weight.requiresGrad ? x : null, weight, bias } };
  },
  backward(call, { x, weight, bias }, dy) {
    const { needs, native, stream } = call;
    const numIn = weight!.dim(1);
    let dx: Tensor | null = null;
    if (needs.x) {
      dx = call.inputGradient('x', [...dy.shape.slice(0, -1), numIn], (target, accumulate) => {
        native.linearInputGradient(stream, dy.id, weight!.id, target.id, accumulate);
      });
      call.device.flops += 2 * dy.size * numIn;
    }
    let dw: Tensor | null = null;
    if (needs.weight) {
      dw = call.weightGradient(weight!, [dy, x!], (target, accumulate) => {
        native.linearWeightGradient(stream, dy.id, x!.id, target.id, accumulate);
      });
      call.device.flops += 2 * dy.size * numIn;
    }
    const db = needs.bias
      ? call.weightGradient(bias!, [dy], (target, accumulate) => sumRows(dy, target, accumulate))
      : null;
    return { x: dx, weight: dw, bias: db };
  },
});

/** The forward product of `linear`, for ops of which it is the last part. */
export function linearOutput(
  { native, stream, device, empty }: ForwardCall,
  { x, weight, bias }: LinearInputs,
  known: Tensor | null,
): Tensor {
  const shape = [...x.shape.slice(0, -1), weight.dim(0)];
  if (known !== null) {
    expectShape('linear', 'known output', known, shape);
    return known;
  }
  const output = empty(shape, x.dtype);
  native.linearForward(stream, x.id, weight.id, bias?.id ?? null, output.id);
  device.flops += 2 * x.size * weight.dim(0);
  return output;
}

/** Which library computes matrix products on this device. @throws LongscanError E-ONEDNN, E-CUBLAS if it cannot be opened */
export function gemmInfo(device: Device): GemmInfo {
  return device.native.gemmInfo(device.compute.id);
}
